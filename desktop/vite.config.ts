import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// Everything comes from the daemon's own origin, as files: its Content-Security-Policy allows nothing inline.
export default defineConfig({
  plugins: [svelte({ compilerOptions: { runes: true } })],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    // What comes beside the page needs no styles of its own, which a lost connection could leave out.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npx vite` beside a daemon that runs: the API is that of the daemon.
  server: { host: '127.0.0.1', proxy: { '/v1': { target: 'http://127.0.0.1:8470' } } },
});
