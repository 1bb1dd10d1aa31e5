import { readdirSync } from 'node:fs';
import { defineConfig } from 'vite';

// Makes plain JavaScript of tests/*.test.ts for `node --test`: no test runner of its own is needed.
const tests = readdirSync('tests').filter((name) => name.endsWith('.test.ts'));

export default defineConfig({
  build: {
    ssr: true,
    target: 'node20',
    outDir: '.test-build',
    emptyOutDir: true,
    rollupOptions: { input: tests.map((name) => `tests/${name}`) },
  },
});
