// Keeps the browser's address and what is open the same (`address.ts`).
//
// | what happens | then |
// |---|---|
// | somebody signs in | the address decides what is open, else the role |
// | something else is opened | the address follows; the browser's way back leads to what was open |
// | the address changes: the way back, a link | it is opened |
// | somebody signs out | the address says nothing any more: the next person begins without it |

import { desk } from '../desk/desk.svelte.ts';
import { addressOf, hashOf, type Address } from './address.ts';
import { views } from './keys.svelte.ts';
import { afterPaint } from './paint.ts';
import { ui } from './ui.svelte.ts';
import { wall } from './wall.svelte.ts';

const opened = (): Address => ({
  view: ui.view,
  id: ui.view === 'accounts' ? ui.account : ui.view === 'past' ? ui.call : ui.view === 'messages' ? ui.opened : '',
});

function open({ view, id }: Address): void {
  ui.view = view;
  if (view === 'accounts') ui.account = id;
  if (view === 'past') ui.call = id;
  if (view === 'messages') ui.opened = id;
}

/** To be called once, while the page lives. */
export function followAddress(): void {
  const user = $derived(desk.session?.user);
  const role = $derived(desk.session?.role);
  let before: string | undefined;
  /** The address of what was opened, until it is written. */
  let coming: string | undefined;

  // A session that is confirmed after a reload is no new day.
  $effect.pre(() => {
    if (user) open(addressOf(coming ?? location.hash, views()) ?? { view: role === 'operator' ? 'desk' : 'board', id: '' });
    else if (before) history.replaceState(null, '', location.pathname + location.search);
    before = user;
  });

  $effect(() => {
    const hash = hashOf(opened());
    coming = undefined;
    if (!user || (wall.isOpen && role !== 'operator') || location.hash === hash) return;
    coming = hash;
    afterPaint(() => {
      if (coming !== hash) return;
      coming = undefined;
      if (!desk.session || location.hash === hash) return;
      if (location.hash) history.pushState(null, '', hash);
      else history.replaceState(null, '', hash);
    });
  });

  $effect(() => {
    const look = () => {
      const address = user && addressOf(location.hash, views());
      if (address) open(address);
    };
    addEventListener('popstate', look);
    return () => removeEventListener('popstate', look);
  });
}
