// What scrolls can be reached by keyboard (WCAG 2.1.1): a tab stop where there is something to scroll, none elsewhere.

export function scrolls(element: HTMLElement): () => void {
  const look = () => {
    const over = element.scrollHeight > element.clientHeight + 1 || element.scrollWidth > element.clientWidth + 1;
    if (over && element.tabIndex < 0) element.tabIndex = 0;
    else if (!over && element.hasAttribute('tabindex')) element.removeAttribute('tabindex');
  };
  // What changes deeper down changes the size of a child; sizes are reported after the layout, and so cost none.
  const sizes = new ResizeObserver(look);
  const watch = () => {
    for (const child of element.children) sizes.observe(child);
  };
  const children = new MutationObserver(watch);
  sizes.observe(element);
  children.observe(element, { childList: true });
  watch();
  return () => {
    sizes.disconnect();
    children.disconnect();
  };
}
