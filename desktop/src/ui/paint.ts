// Work that nobody sees waits until the page has shown the answer to a key.

/** Runs this after the next frame; in a tab that nobody sees, which draws none, at once. */
export function afterPaint(act: () => void): void {
  if (document.hidden) act();
  else requestAnimationFrame(() => setTimeout(act));
}
