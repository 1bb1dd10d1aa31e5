import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/** The modules that the page's first one imports, at once or through others: what signing in needs, in one file. */
function firstLoad(): { has: (id: string) => boolean; plugin: Plugin } {
  const modules = new Set<string>();
  return {
    has: (id) => modules.has(id),
    plugin: {
      name: 'first-load',
      buildEnd() {
        const follow = (id: string) => {
          if (modules.has(id)) return;
          modules.add(id);
          this.getModuleInfo(id)?.importedIds.forEach(follow);
        };
        for (const id of this.getModuleIds()) if (this.getModuleInfo(id)?.isEntry) follow(id);
      },
    },
  };
}
const first = firstLoad();

// Everything comes from the daemon's own origin, as files: its Content-Security-Policy allows nothing inline.
export default defineConfig({
  plugins: [svelte({ compilerOptions: { runes: true } }), first.plugin],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    // What comes beside the page needs no styles of its own, which a lost connection could leave out.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'page', test: first.has }] } } },
  },
  // `npx vite` beside a daemon that runs: the API is that of the daemon.
  server: { host: '127.0.0.1', proxy: { '/v1': { target: 'http://127.0.0.1:8470' } } },
});
