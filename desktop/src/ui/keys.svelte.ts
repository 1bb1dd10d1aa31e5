// Everything by keyboard. What is typed into a field is never an order, nor are keys that were meant for a field which is
// gone (`typing.ts`), a key that is held down, or keys of an input method. Single keys can be turned off (WCAG 2.1.4); Tab,
// Enter, Escape, keys with Alt and function keys work all the same.
//
// No key means two things:
//
// | keys | where | mean |
// |---|---|---|
// | single keys | outside fields | orders, views, and what is opened |
// | digits | among people, results and states | that one of them (Contacts, WrapUp, StateMenu); results have the focus in after-call work, until Esc |
// | Alt and a letter or digit | also in a field | parts of what is being written (`TakeMessage.svelte`); Alt+0: no message |
// | Alt+Shift and a digit | also in a field | the message is for the contact with this digit; 0: for nobody |
// | Ctrl+K (⌘K) | also in a field | finds everything (`Palette.svelte`) |
// | F2, F4, alone or with Shift or Ctrl | also in a field | orders for the call |
//
// F2 and F4 are the function keys that nobody else needs. Browsers have help, search, reload, full screen and their tools at
// F1, F3, F5, F11 and F12; input methods convert with F6 to F10, and a hand that converts once too often, after the text
// is committed, must not pass a caller on. While something is being composed, every key is the input method's. Alt+F4 and
// Ctrl+F4 close windows and tabs: neither is an order, and no order is at F4 with another key than Shift.

import { tick } from 'svelte';
import { allowed, type Order } from '../desk/choose.ts';
import { desk } from '../desk/desk.svelte.ts';
import { drafts } from '../desk/drafts.svelte.ts';
import { messages } from '../desk/messages.svelte.ts';
import { prefs } from '../desk/prefs.svelte.ts';
import { t, type Key } from '../i18n/index.svelte.ts';
import { composer, otherViews } from './beside.svelte.ts';
import { caret, fieldOf } from './caret.svelte.ts';
import { shown } from './shown.svelte.ts';
import { toMessage } from './toMessage.ts';
import { keyMeant } from './typing.ts';
import { ui, type View } from './ui.svelte.ts';

/** What the list of keys shows: the key, what it does, and another key, that which does so from inside a field. */
export const KEYS: readonly (readonly [string, Key, string?])[] = [
  ['A', 'order.answer', 'F2'],
  ['H', 'order.hold', 'F4'],
  ['T', 'key.transfer', 'Shift+F4'],
  ['C', 'order.complete', 'Shift+F4'],
  ['X', 'order.cancel', 'F4'],
  ['S', 'order.help', 'Ctrl+F2'],
  ['Shift+E', 'order.hangup', 'Shift+F2'],
  ['N', 'key.customer'],
  ['D', 'key.notice'],
  ['M', 'key.message'],
  ['Alt+Shift+1 – 9', 'key.message_for', 'Alt+Shift+1 – 9'],
  ['Alt+0', 'key.no_message'],
  ['Z', 'key.undo'],
  ['W', 'key.wrap'],
  ['E', 'wrap.extend'],
  ['R', 'state.set'],
  ['/', 'key.find'],
  ['Ctrl+K', 'palette.title', 'Ctrl+K'],
  ['J', 'key.row', 'K'],
  ['U', 'message.change'],
  ['G / O / P / V', 'key.message_row'],
  ['1 – 6', 'key.views'],
  ['Tab', 'key.next'],
  ['Enter', 'key.choose'],
  ['Esc', 'key.close'],
  ['?', 'key.help'],
];

export function views(): View[] {
  const role = desk.session?.role;
  if (role === 'operator') return ['desk', 'accounts', 'past', 'messages'];
  const views: View[] = ['desk', 'board', 'accounts', 'past', 'messages'];
  return role === 'admin' ? [...views, 'admin'] : views;
}

/** Does what the button of this order does, if it is allowed now. */
export function give(order: Order): void {
  const call = desk.own ?? desk.pops[0];
  if (!call || !allowed(desk.state, call).has(order)) return;
  if (order === 'help') void desk.askForHelp(call);
  else if (order === 'complete' || order === 'cancel') void desk.settleTransfer(call, order);
  else if (order === 'transfer') toContacts();
  else void desk.callOrder(call, order);
}

/** The first of these that is allowed now. */
function givesOne(orders: readonly Order[]): void {
  const call = desk.own ?? desk.pops[0];
  const may = call ? allowed(desk.state, call) : undefined;
  const order = orders.find((one) => may?.has(one));
  if (order) give(order);
  else if (orders.includes('cancel')) void desk.takeBack();
}

/** To the first person: not to a button that passes the caller on to all of them at once. */
function toContacts(): void {
  const contacts = document.getElementById('contacts');
  (contacts?.querySelector<HTMLElement>('li [data-way]') ?? contacts?.querySelector('button'))?.focus();
}

/** The least that an extension adds, in minutes. */
export const EXTENSION_MINUTES = 2;

/** More time for the after-call work, without a reason of the person's own. */
function extend(): void {
  const work = shown.isOpen ? desk.me?.wrap_up : undefined;
  if (desk.me && work) void desk.extendWrapUp(desk.me, work.call, EXTENSION_MINUTES * 60, t('wrap.extend_again'));
}

/** Takes back what was done a moment ago: the caller who was passed on, or else the message that was saved, which is opened again
 * where its call is in front. */
async function undo(): Promise<void> {
  if (desk.passedOn) return void desk.takeBack();
  const id = await messages.undo();
  if (!id) return;
  if (id === desk.own?.id || id === shown.work?.call) toMessage();
  else ui.view = 'messages';
}

/** Whether the message of the call in front can be written now. */
const mayWrite = (): boolean => ui.view === 'desk' && Boolean(desk.own ?? shown.work ?? (shown.isOver || undefined)) && Boolean(accountInFront());

/** The account of the call in front; where it belongs to none: the one that the caller named. */
function accountInFront(): string {
  const { call, work } = shown;
  return call?.card?.account.id || work?.account || (call && drafts.find(call.id)?.account) || '';
}

/** The message is for the contact with this digit, or for nobody; the caret goes into it. */
function writeFor(digit: number): void {
  const { call } = shown;
  const account = accountInFront();
  if (!call || !mayWrite()) return;
  const one = desk.contacts.get(account)?.[digit - 1];
  if (digit && !one) return;
  Object.assign(drafts.of(call.id), { contact: one?.id ?? '', for_text: '' });
  toMessage();
}

/** Reasons for no message, where there is a call or after-call work. */
function chooseNoMessage(): void {
  if (desk.own || shown.work) [ui.view, ui.noMessage] = ['desk', true];
}

function findMessage(): void {
  if (ui.view === 'messages') document.querySelector<HTMLInputElement>('[data-search]')?.focus();
}

/** Presses a button of the row of a message that has the focus. */
function rowGives(button: string): void {
  document.activeElement?.closest('[data-message]')?.querySelector<HTMLElement>(`[data-${button}]`)?.click();
}

/** To the field for another address, in the row of a message that has the focus. */
function elsewhere(): void {
  const row = document.activeElement?.closest('[data-message]');
  const opens = row?.querySelector<HTMLElement>('[data-row]');
  if (opens?.getAttribute('aria-expanded') === 'false') opens.click();
  void tick().then(() => row?.querySelector<HTMLElement>('[data-elsewhere]')?.focus());
}

/** To the next row of a list that has rows to open, or to the one before. */
function toRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')];
  const at = rows.findIndex((one) => one === document.activeElement);
  const next = rows[at < 0 ? 0 : at + step];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

/** The field that was asked for is on its way, with its view. */
let isFinding = false;

function find(): void {
  if (ui.view === 'messages') return findMessage();
  if (ui.view !== 'past') ui.view = 'accounts';
  isFinding = !otherViews.form;
  void otherViews.load().then(tick).then(() => {
    isFinding = false;
    document.querySelector<HTMLInputElement>('[data-find]')?.focus();
  });
}

/** Orders that are given from everywhere: also from a field, and while an input method is on. */
const FROM_FIELDS: Record<string, readonly Order[]> = {
  F2: ['answer'],
  'Shift+F2': ['hangup'],
  'Ctrl+F2': ['help'],
  // With the caller elsewhere there is nothing to hold: then it takes the caller back, and the other passes the caller on.
  F4: ['hold', 'resume', 'cancel'],
  'Shift+F4': ['transfer', 'complete'],
};

/** The orders of this key, if it has any from inside a field. */
function fromField({ key, shiftKey, ctrlKey, altKey, metaKey }: KeyboardEvent): readonly Order[] | undefined {
  if (altKey || metaKey) return undefined;
  return FROM_FIELDS[`${ctrlKey ? 'Ctrl+' : ''}${shiftKey ? 'Shift+' : ''}${key}`];
}

const ACTIONS: Record<string, () => void> = {
  '?': () => (ui.help = !ui.help),
  a: () => give('answer'),
  h: () => givesOne(['hold', 'resume']),
  t: () => give('transfer'),
  c: () => give('complete'),
  x: () => givesOne(['cancel']),
  s: () => give('help'),
  e: extend,
  E: () => give('hangup'),
  n: () => {
    if (desk.own ?? desk.pops[0] ?? shown.work) [ui.newCustomer, ui.message] = [true, false];
  },
  m: () => {
    if (desk.own || shown.work) ui.view = 'desk';
    if (mayWrite()) toMessage();
    else document.querySelector<HTMLElement>('[data-whose]')?.focus();
  },
  d: () => {
    const isOpen = ui.view === 'desk' ? shown.call?.card?.account.id : ui.view === 'accounts' && ui.account;
    if (isOpen && desk.live) ui.notice = true;
  },
  z: () => void undo(),
  w: () => {
    const form = document.getElementById('wrap-up');
    (form?.querySelector<HTMLElement>('input:checked') ?? form?.querySelector('input'))?.focus();
  },
  r: () => (ui.states = !ui.states),
  '/': find,
  f: findMessage,
  j: () => toRow(1),
  k: () => toRow(-1),
  g: () => rowGives('again'),
  o: elsewhere,
  p: () => rowGives('phone'),
  v: () => rowGives('acknowledge'),
  u: () => document.querySelector<HTMLElement>('main [data-revise]')?.click(),
};

export function listenToKeys(): void {
  $effect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.isComposing) return;
      // By its place: an input method that is on may name no key. Also from a field: what is typed there stays.
      const isZero = event.key === '0' || event.code === 'Digit0';
      const isAlt = desk.session && event.altKey && !event.ctrlKey && !event.metaKey && !event.repeat;
      const digit = isAlt && event.shiftKey && !ui.help && !ui.palette ? /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1] : undefined;
      if (digit) {
        event.preventDefault();
        writeFor(Number(digit));
        return;
      }
      if (isAlt && !event.shiftKey && isZero) {
        event.preventDefault();
        chooseNoMessage();
        return;
      }
      if (desk.session && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.code === 'KeyK') {
        event.preventDefault();
        if (!event.repeat && !ui.help) ui.palette = !ui.palette;
        return;
      }
      // Its own keys are its field's.
      if (ui.palette) return;
      // 229: keys of an input method, also where it says nothing of a composition.
      if (event.keyCode === 229) return;
      const given = fromField(event);
      if (given && desk.session && !ui.help) {
        event.preventDefault();
        if (!event.repeat) givesOne(given);
        return;
      }
      if (event.key === 'Escape') {
        if (ui.help || ui.states || ui.newCustomer || ui.message || ui.noMessage || ui.notice || shown.waiting) event.preventDefault();
        if (shown.waiting && !ui.help && !ui.states) return shown.go();
        const field = fieldOf(event.target)?.closest('.desk') ? event.target : undefined;
        const isOpen = ui.help || ui.states || ui.newCustomer || ui.message || ui.noMessage || ui.notice || field;
        const notice = desk.notices.at(-1);
        if (!isOpen && notice) desk.drop(notice.id);
        ui.help = ui.states = ui.newCustomer = ui.message = ui.noMessage = ui.notice = false;
        // The fields of the desk stay; the caret leaves them, and keys are orders again.
        if (field) caret.leave();
        else if (event.target instanceof HTMLInputElement && event.target.closest('#wrap-up')) event.target.blur();
        return;
      }
      const choice = event.target instanceof HTMLInputElement && event.target.type === 'radio';
      if (!desk.session || (event.target instanceof Element && event.target.closest('input, textarea, select') && !choice)) return;
      // What is typed while the composer, or a field, is on its way is meant for it.
      const isMeant = (ui.message && mayWrite() && !composer.form) || composer.isAsking || isFinding;
      if (event.key !== 'Tab' && (caret.guard.isTyped(performance.now()) || isMeant)) {
        event.preventDefault();
        return;
      }
      if (!prefs.keys || ui.help || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const key = keyMeant(event);
      // Among choices (results, customers) the keys belong to the choices. The results have the focus by themselves: letters are
      // orders there.
      if (choice && !(event.target.closest('#wrap-up') && /^[a-z/?]$/i.test(key))) return;
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
