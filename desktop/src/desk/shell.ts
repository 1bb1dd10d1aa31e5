// The page's own files, kept in this browser so that a reload without a connection shows the page and not an error.
//
// Browsers allow that on https and on this machine only; elsewhere a reload needs the connection, as ever.
// Invariant: only files that are the same for everybody are kept.

const SHELL = 'toritsugi-page';
const WORKER = '/sw.js';
const DOCUMENT = '/';
const ICON = '/favicon.svg';

let url: unknown;
let loadBeside: () => Promise<boolean> = () => Promise.resolve(true);

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(): string }): { createScriptURL(url: string): unknown };
}

/** Some files come beside the page: they are loaded by this, which says whether they are there, before the page is kept. */
export function comesBeside(load: () => Promise<boolean>): void {
  loadBeside = load;
}

/** Keeps the files of which this page was made, and forgets those of an earlier version. */
export async function keepShell(): Promise<void> {
  if (!('serviceWorker' in navigator) || !('caches' in globalThis)) return;
  try {
    await navigator.serviceWorker.register(workerUrl() as string);
    if (!(await loadBeside())) return;
    const files = [DOCUMENT, ICON, ...ownAssets()];
    const cache = await caches.open(SHELL);
    await cache.addAll(files);
    for (const kept of await cache.keys()) {
      if (!files.includes(new URL(kept.url).pathname)) await cache.delete(kept, { ignoreVary: true });
    }
  } catch {
    // A browser that keeps nothing, or a full disk: then a reload needs the connection.
  }
}

/** The policy of the page allows this one address, and that it is asked once. */
function workerUrl(): unknown {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  url ??= types?.createPolicy('toritsugi-worker', { createScriptURL: () => WORKER }).createScriptURL(WORKER) ?? WORKER;
  return url;
}

function ownAssets(): string[] {
  const loaded = performance.getEntriesByType('resource').map((one) => new URL(one.name));
  const own = loaded.filter((one) => one.origin === location.origin && one.pathname.startsWith('/assets/'));
  return [...new Set(own.map((one) => one.pathname))];
}
