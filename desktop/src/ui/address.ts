// The address of what is open, so that a reload, a link and the browser's way back lead there.
//
// | address | shows |
// |---|---|
// | `#/desk`, `#/board`, `#/accounts`, `#/past`, `#/messages`, `#/admin` | that view |
// | `#/accounts/ID`, `#/past/ID`, `#/messages/ID` | in it this account, call or message |
// | anything else, or a view that this person does not have | nothing: the person's own beginning |
//
// The wallboard has an address of its own (`wall.svelte.ts`). Pure.

import type { View } from './ui.svelte.ts';

export interface Address {
  view: View;
  /** The record that is open in the view, or nothing. */
  id: string;
}

const VIEWS: readonly View[] = ['desk', 'board', 'accounts', 'past', 'messages', 'admin'];
const ID = /^[0-9a-f-]{36}$/;

export function hashOf({ view, id }: Address): string {
  return id ? `#/${view}/${id}` : `#/${view}`;
}

export function addressOf(hash: string, views: readonly View[]): Address | undefined {
  const [start, name, id = '', ...more] = hash.split('/');
  const view = VIEWS.find((one) => one === name);
  if (start !== '#' || !view || !views.includes(view) || more.length) return undefined;
  const isRecord = view !== 'desk' && view !== 'board' && view !== 'admin' && ID.test(id);
  return id && !isRecord ? undefined : { view, id };
}
