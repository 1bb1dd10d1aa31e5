// The content of a message as the form has it, and as the daemon takes it. Pure.

import type { Message, ScriptForm, TakeMessage } from '../api/types.ts';
import { NO_MESSAGE, type Draft } from './drafts.svelte.ts';
import { filled, isHidden, scriptOf } from './script.ts';

/** What the customer's record says of the sender. */
export interface Known {
  name: string;
  kana: string;
  company?: string | null | undefined;
  department?: string | null | undefined;
}

type Sender = NonNullable<TakeMessage['from']>;

/** The form of the script by which a draft is written, and the contacts that it may name. */
export interface Asked {
  form: ScriptForm;
  contacts: readonly { id: string; code?: string | null | undefined }[];
}

/**
 * The message that this draft is. What was typed counts before what the customer's record says, and what was chosen before
 * what the script decides.
 */
export function contentOf(written: Draft, known?: Known, asked?: Asked): TakeMessage {
  // A message that is changed was complete: nothing is added to it.
  const draft = asked && !written.corrects ? filled(written, asked.form, asked.contacts) : written;
  const { account, call, customer, contact, text, reason, mark, urgency, action, for_text } = draft;
  const isTyped = Boolean(draft.from_name.trim());
  const record = isTyped ? undefined : known;
  const number = draft.from_number.trim();
  const from: Sender = given({
    name: draft.from_name.trim() || record?.kana,
    name_kanji: draft.from_kanji.trim() || record?.name,
    company: draft.from_company.trim() || record?.company,
    department: draft.from_department.trim() || record?.department,
    gender: draft.from_gender as Sender['gender'],
    number,
    number_is: number ? ('told' as const) : undefined,
    confirmed: draft.confirmed || undefined,
  });
  const call_back = given({
    number: draft.call_back_number.trim(),
    from: instant(draft.call_back_from),
    until: instant(draft.call_back_until),
    text: draft.call_back_text.trim(),
  });
  const follow_up = followUpOf(draft);
  return {
    text,
    ...given({
      account,
      call,
      customer,
      contact,
      reason,
      subject: draft.subject.trim(),
      for_text: contact ? undefined : for_text.trim(),
      mark: (mark === 'none' ? undefined : mark) as TakeMessage['mark'],
      urgency: (urgency || undefined) as TakeMessage['urgency'],
      action: (action || undefined) as TakeMessage['action'],
      hold_until: instant(draft.hold_until),
    }),
    ...(Object.keys(from).length ? { from } : {}),
    ...(Object.keys(call_back).length ? { call_back } : {}),
    ...(follow_up ? { follow_up } : {}),
    ...(draft.files.length ? { files: draft.files.map((one) => one.id) } : {}),
    ...(draft.transfer ? { transfer: { id: draft.transfer, outcome: draft.transfer_outcome } } : {}),
    ...(asked ? scriptOf(draft, asked.form) : {}),
  };
}

/** What is to be done later: with a time and words, else nothing. */
function followUpOf(draft: Draft): TakeMessage['follow_up'] {
  const [at, text] = [instant(draft.follow_up_at), draft.follow_up_text.trim()];
  return at && text ? { at, text, by: draft.follow_up_by === 'contact' ? 'contact' : 'operator' } : undefined;
}

/** The fields of the form for this message; `hasRecord`: the form shows the customer's record beside them. */
export function draftOf(wanted: TakeMessage, hasRecord: boolean): Partial<Draft> {
  const { call_back, script } = wanted;
  // Only the record has the name in kanji: then it is whom the message is from.
  const { number, confirmed, ...who } = wanted.from ?? {};
  const from: Sender = { number, confirmed, ...(hasRecord && who.name_kanji ? {} : who) };
  return {
    ...NO_MESSAGE,
    ...given({
      text: wanted.text,
      contact: wanted.contact,
      reason: wanted.reason,
      for_text: wanted.for_text,
      subject: wanted.subject,
      mark: wanted.mark ?? (script ? ('none' as const) : undefined),
      urgency: wanted.urgency,
      // Where the script decides something else, that there is none was chosen.
      action: wanted.action === 'none' && !script ? undefined : wanted.action,
      hold_until: local(wanted.hold_until),
      follow_up_at: local(wanted.follow_up?.at),
      follow_up_text: wanted.follow_up?.text,
      follow_up_by: wanted.follow_up?.by,
      from_name: from?.name,
      from_kanji: from?.name_kanji,
      from_company: from?.company,
      from_department: from?.department,
      from_gender: from?.gender,
      from_number: from?.number,
      confirmed: from?.confirmed,
      call_back_number: call_back?.number,
      call_back_from: local(call_back?.from),
      call_back_until: local(call_back?.until),
      call_back_text: call_back?.text,
      transfer: wanted.transfer?.id,
      transfer_outcome: wanted.transfer?.outcome,
      script: isHidden(wanted) ? undefined : script?.id,
      script_version: script?.version,
    }),
    files: (wanted.files ?? []).map((id) => ({ id, name: id.slice(-4) })),
    answers: Object.fromEntries((wanted.answers ?? []).map(({ id, value }) => [id, [value]])),
    offers: Object.fromEntries((wanted.offers ?? []).map(({ id, result }) => [id, result])),
  };
}

/** What a message says, as it would be taken again. */
export function wantedOf(one: Message): TakeMessage {
  const { account, call, customer, contact, text, reason, subject, from, for_text, action, call_back, urgency, mark } = one;
  const { hold_until, follow_up, transfer, script, answers, offers } = one;
  // Without a script the daemon made it of the reason and the action, which may change.
  const own = script ? subject : undefined;
  const content = { contact, text, reason, subject: own, from, for_text, action, call_back, urgency, mark, hold_until, follow_up, transfer };
  return { account, call, customer, ...content, script, answers, offers };
}

/** The fields of the form that differ from the message, as a merge patch of it. */
export function patchOf(draft: Draft, before: Message, asked?: Asked): Record<string, unknown> {
  const now = contentOf(draft, undefined, asked);
  const patch: Record<string, unknown> = {};
  const fields = [...(draft.subject ? (['subject'] as const) : []), 'text', 'contact', 'reason', 'mark', 'urgency', 'action', 'hold_until'] as const;
  const usual: Record<string, unknown> = { urgency: 'normal', action: 'none' };
  for (const field of fields) {
    const value = now[field] ?? usual[field] ?? null;
    const isTime = field === 'hold_until';
    const same = isTime ? local(now[field]) === local(before[field]) : value === (before[field] ?? null);
    if (!same) patch[field] = value;
  }
  const for_text = draft.for_text.trim() || null;
  if (for_text !== (before.for_text ?? null)) patch['for_text'] = for_text;
  const from = before.from ?? {};
  const sender: Record<string, unknown> = {};
  for (const field of ['name', 'company', 'department', 'gender', 'number', 'confirmed'] as const) {
    const value = now.from?.[field] ?? (field === 'confirmed' ? false : null);
    if (value !== (from[field] ?? (field === 'confirmed' ? false : null))) sender[field] = value;
  }
  // Another name has other characters, and another number was given.
  const kanji = now.from?.name_kanji ?? null;
  if (kanji !== (from.name_kanji ?? null)) sender['name_kanji'] = kanji;
  else if ('name' in sender && kanji) sender['name_kanji'] = null;
  if ('number' in sender) sender['number_is'] = sender['number'] === null ? null : 'told';
  if (Object.keys(sender).length) patch['from'] = sender;
  const [back, known] = [now.call_back ?? {}, before.call_back ?? {}];
  const call_back: Record<string, unknown> = {};
  if ((back.number ?? null) !== (known.number ?? null)) call_back['number'] = back.number ?? null;
  if ((back.text ?? null) !== (known.text ?? null)) call_back['text'] = back.text ?? null;
  for (const time of ['from', 'until'] as const) {
    if (local(back[time]) !== local(known[time])) call_back[time] = back[time] ?? null;
  }
  if (Object.keys(call_back).length) patch['call_back'] = call_back;
  const later = (one: TakeMessage['follow_up']) => JSON.stringify(one ? [local(one.at), one.text, one.by] : null);
  if (later(now.follow_up) !== later(before.follow_up)) patch['follow_up'] = now.follow_up ?? null;
  if (asked) {
    const said = (answers: Message['answers']) => JSON.stringify((answers ?? []).map(({ id, value }) => [id, value]));
    if (said(now.answers) !== said(before.answers)) patch['answers'] = now.answers ?? [];
    const offered = (offers: Message['offers']) => JSON.stringify((offers ?? []).map(({ id, result }) => [id, result]));
    if (offered(now.offers) !== offered(before.offers)) patch['offers'] = now.offers ?? [];
  }
  return patch;
}

/** Whether the draft of a change says what the message says. */
export function isAsTaken(draft: Draft, message: Message): boolean {
  const { answers, offers } = draftOf(wantedOf(message), false);
  const said = JSON.stringify([draft.answers, draft.offers]) === JSON.stringify([answers, offers]);
  return said && !Object.keys(patchOf(draft, message)).length;
}

/** Without what is empty. */
function given<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return Object.fromEntries(pairs) as { [K in keyof T]?: NonNullable<T[K]> };
}

/** A local time of a field of the form, for the daemon. */
function instant(text: string): string | undefined {
  const at = text ? new Date(text) : undefined;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined;
}

/** A time of the daemon for a field of the form. */
export function local(text: string | null | undefined): string {
  const at = text ? new Date(text) : undefined;
  if (!at || Number.isNaN(at.getTime())) return '';
  const shifted = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}
