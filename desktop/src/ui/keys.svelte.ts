// Everything by keyboard. Single keys can be turned off (WCAG 2.1.4); Tab, Enter and Escape work all the same.

import { tick } from 'svelte';
import { allowed, type Order } from '../desk/choose.ts';
import { desk } from '../desk/desk.svelte.ts';
import { prefs } from '../desk/prefs.svelte.ts';
import type { Key } from '../i18n/index.svelte.ts';
import { ui, type View } from './ui.svelte.ts';

/** What the list of keys shows. */
export const KEYS: readonly (readonly [string, Key])[] = [
  ['A', 'order.answer'],
  ['H', 'order.hold'],
  ['T', 'key.transfer'],
  ['C', 'order.complete'],
  ['X', 'order.cancel'],
  ['S', 'order.help'],
  ['Shift+E', 'order.hangup'],
  ['N', 'key.customer'],
  ['M', 'key.message'],
  ['W', 'key.wrap'],
  ['R', 'state.set'],
  ['/', 'key.find'],
  ['1 – 5', 'key.views'],
  ['Tab', 'key.next'],
  ['Enter', 'key.choose'],
  ['Esc', 'key.close'],
  ['?', 'key.help'],
];

export function views(): View[] {
  return desk.session?.role === 'operator' ? ['desk', 'accounts', 'past', 'messages'] : ['desk', 'board', 'accounts', 'past', 'messages'];
}

/** Does what the button of this order does, if it is allowed now. */
export function give(order: Order): void {
  const call = desk.own ?? desk.pops[0];
  if (!call || !allowed(desk.state, call).has(order)) return;
  if (order === 'help') void desk.askForHelp(call);
  else if (order === 'complete' || order === 'cancel') void desk.settleTransfer(call, order);
  else if (order === 'transfer') document.getElementById('contacts')?.querySelector('button')?.focus();
  else void desk.callOrder(call, order);
}

function find(): void {
  ui.view = 'accounts';
  void tick().then(() => document.querySelector<HTMLInputElement>('[data-find]')?.focus());
}

const ACTIONS: Record<string, () => void> = {
  '?': () => (ui.help = !ui.help),
  a: () => give('answer'),
  h: () => {
    give('hold');
    give('resume');
  },
  t: () => give('transfer'),
  c: () => give('complete'),
  x: () => give('cancel'),
  s: () => give('help'),
  E: () => give('hangup'),
  n: () => {
    if (desk.own ?? desk.pops[0]) [ui.newCustomer, ui.message] = [true, false];
  },
  m: () => {
    if (desk.own?.card?.account.id || desk.me?.wrap_up?.account) [ui.newCustomer, ui.message] = [false, true];
  },
  w: () => document.getElementById('wrap-up')?.querySelector('input')?.focus(),
  r: () => (ui.states = !ui.states),
  '/': find,
};

export function listenToKeys(): void {
  $effect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key === 'Escape') {
        if (ui.help || ui.states || ui.newCustomer || ui.message) event.preventDefault();
        ui.help = ui.states = ui.newCustomer = ui.message = false;
        return;
      }
      if (!prefs.keys || !desk.session || ui.help || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
        return;
      }
      const field = event.target instanceof Element && event.target.closest('input, textarea, select');
      if (field) return;
      const view = views()[Number(event.key) - 1];
      if (view) ui.view = view;
      const act = ACTIONS[event.key];
      if (act) {
        event.preventDefault();
        act();
      }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  });
}
