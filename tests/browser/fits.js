// Elements that show text which is cut or lies outside, though nobody can scroll to it.
(() => {
  const found = [];
  const page = document.documentElement;
  // In a narrow window the page itself scrolls, downwards.
  const mayScroll = matchMedia('(width < 720px)').matches;
  if (page.scrollWidth > page.clientWidth || (!mayScroll && page.scrollHeight > page.clientHeight + 1)) found.push('the page scrolls');
  for (const element of document.querySelectorAll('#page *, dialog *')) {
    const style = getComputedStyle(element);
    if (style.visibility === 'hidden' || !element.textContent.trim() || element.closest('.visually-hidden, .skip')) continue;
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height) continue;
    const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY);
    const clamped = style.webkitLineClamp !== 'none' || style.textOverflow === 'ellipsis' || element.closest('[title]');
    const within = element.closest('dialog, main, header, .notices, form');
    const room = within?.getBoundingClientRect();
    if (room && (box.right > room.right + 1 || box.left < room.left - 1)) found.push(`outside: ${name(element)}`);
    if (scrolls || clamped || style.display === 'inline' || style.overflowX === 'visible') {
      if (element.scrollWidth > element.clientWidth + 1 && style.overflowX === 'visible' && style.display !== 'inline') {
        if (element.children.length === 0) found.push(`wider than its place: ${name(element)}`);
      }
      continue;
    }
    if (element.scrollWidth > element.clientWidth + 1) found.push(`cut: ${name(element)}`);
  }
  return found.slice(0, 5);
  function name(element) {
    return `${element.tagName.toLowerCase()}.${element.className} “${element.textContent.trim().slice(0, 30)}”`;
  }
})()
