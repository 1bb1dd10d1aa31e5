// The end of after-call work without the form: with a message, or with a reason for none.

import { desk } from '../desk/desk.svelte.ts';
import { drafts } from '../desk/drafts.svelte.ts';
import { shown } from './shown.svelte.ts';

/** The disposition of a call with a message, where the installation has it. */
const MESSAGE = 'message';

/** Finishes the after-call work of this call, if it has any that can be finished, with this disposition. */
export async function finishWith(call: string, disposition: string): Promise<boolean> {
  const work = shown.work;
  if (!desk.me || work?.call !== call || (!shown.isOpen && !shown.isExpired(call))) return false;
  const draft = drafts.of(call);
  const { notes } = draft;
  if (!(await desk.finishWrapUp(desk.me, call, disposition, notes.trim()))) return false;
  // What was typed while the answer was on its way is not in it.
  if (draft.notes === notes) draft.disposition = draft.notes = draft.saved_notes = '';
  else draft.saved_notes = notes;
  shown.end();
  return true;
}

export async function finishWithMessage(call: string): Promise<void> {
  if (desk.options?.dispositions.some((one) => one.code === MESSAGE)) await finishWith(call, MESSAGE);
}
