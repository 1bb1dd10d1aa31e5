// Opens the page while its daemon cannot be reached: the document and its files as they were last loaded.
//
// Invariant: it answers for the page's own files alone, and only when the daemon does not; no data ever passes through
// here, and what it keeps holds nothing about anybody (see src/desk/shell.ts). A press on a notification goes to the page.

const SHELL = 'toritsugi-page';
/** How long the daemon may take before the document of last time is shown. */
const ANSWER_MS_MAX = 4_000;

addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  const isPage = pathname === '/' || pathname === '/favicon.svg' || pathname.startsWith('/assets/');
  if (request.method === 'GET' && origin === location.origin && isPage) event.respondWith(answer(request, pathname));
});

// A notification leads to the page that showed it; its button also answers the call.
addEventListener('notificationclick', (event) => {
  const { action, notification } = event;
  notification.close();
  event.waitUntil(
    clients.matchAll({ type: 'window' }).then(async ([page]) => {
      if (action === 'answer') page?.postMessage({ answer: notification.tag });
      await page?.focus();
    }),
  );
});

async function answer(request, pathname) {
  const cache = await caches.open(SHELL);
  const kept = await cache.match(pathname, { ignoreVary: true });
  if (!kept) return fetch(request);
  try {
    const response = await fetch(request, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    // A proxy in front of a daemon that is away answers in its place.
    return response.status < 500 ? response : kept;
  } catch {
    return kept;
  }
}
