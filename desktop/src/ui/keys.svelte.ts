// Everything by keyboard. What is typed into a field is never an order, nor are keys that were meant for a field which is
// gone (`typing.ts`), a key that is held down, or keys of an input method. Single keys can be turned off (WCAG 2.1.4); Tab,
// Enter and Escape work all the same.

import { tick } from 'svelte';
import { allowed, type Order } from '../desk/choose.ts';
import { desk } from '../desk/desk.svelte.ts';
import { messages } from '../desk/messages.svelte.ts';
import { prefs } from '../desk/prefs.svelte.ts';
import { t, type Key } from '../i18n/index.svelte.ts';
import { caret } from './caret.svelte.ts';
import { shown } from './shown.svelte.ts';
import { keyMeant } from './typing.ts';
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
  ['Alt+0', 'key.no_message'],
  ['Z', 'key.undo'],
  ['W', 'key.wrap'],
  ['E', 'wrap.extend'],
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

/** The least that an extension adds, in minutes. */
export const EXTENSION_MINUTES = 2;

/** More time for the after-call work, without a reason of the person's own. */
function extend(): void {
  const work = shown.isOpen ? desk.me?.wrap_up : undefined;
  if (desk.me && work) void desk.extendWrapUp(desk.me, work.call, EXTENSION_MINUTES * 60, t('wrap.extend_again'));
}

/** Takes the message back that was saved a moment ago, and opens it again where its call is in front. */
async function undo(): Promise<void> {
  const id = await messages.undo();
  if (!id) return;
  if (id === desk.own?.id || id === shown.work?.call) ui.message = true;
  else ui.view = 'messages';
}

/** Reasons for no message, where there is a call or after-call work. */
function chooseNoMessage(): void {
  if (desk.own || shown.work) [ui.view, ui.noMessage] = ['desk', true];
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
  e: extend,
  E: () => give('hangup'),
  n: () => {
    if (desk.own ?? desk.pops[0]) [ui.newCustomer, ui.message] = [true, false];
  },
  m: () => {
    if (desk.own?.card?.account.id || shown.work?.account) [ui.newCustomer, ui.message] = [false, true];
  },
  z: () => void undo(),
  w: () => document.getElementById('wrap-up')?.querySelector('input')?.focus(),
  r: () => (ui.states = !ui.states),
  '/': find,
};

export function listenToKeys(): void {
  $effect(() => {
    const pressed = (event: KeyboardEvent) => {
      // 229: keys of an input method, also where it says nothing of a composition.
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === 'Escape') {
        if (ui.help || ui.states || ui.newCustomer || ui.message || ui.noMessage || shown.waiting) event.preventDefault();
        if (shown.waiting && !ui.help && !ui.states) return shown.go();
        ui.help = ui.states = ui.newCustomer = ui.message = ui.noMessage = false;
        return;
      }
      // Also from a field: what is typed there stays.
      const isZero = event.key === '0' || event.code === 'Digit0';
      if (desk.session && event.altKey && !event.ctrlKey && !event.metaKey && !event.repeat && isZero) {
        event.preventDefault();
        chooseNoMessage();
        return;
      }
      const choice = event.target instanceof HTMLInputElement && event.target.type === 'radio';
      if (!desk.session || (event.target instanceof Element && event.target.closest('input, textarea, select') && !choice)) return;
      if (event.key !== 'Tab' && caret.guard.isTyped(performance.now())) {
        event.preventDefault();
        return;
      }
      if (!prefs.keys || ui.help || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const key = keyMeant(event);
      // Among choices (results, customers) the keys belong to the choices, but the time runs there too.
      if (choice && key !== 'e') return;
      const view = views()[Number(key) - 1];
      if (view) ui.view = view;
      const act = ACTIONS[key];
      if (act) {
        event.preventDefault();
        act();
      }
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  });
}
