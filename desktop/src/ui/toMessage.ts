// The caret goes into the message of the call in front.

import { caret } from './caret.svelte.ts';
import { ui } from './ui.svelte.ts';

/** At once where the form is there; else as soon as it is (`TakeMessage.svelte`). */
export function toMessage(): void {
  ui.newCustomer = false;
  if (ui.message) {
    const form = document.querySelector('#composer form');
    (form?.querySelector<HTMLElement>('[data-text]') ?? form?.querySelector<HTMLElement>('textarea'))?.focus();
    return;
  }
  caret.leave();
  ui.message = true;
}
