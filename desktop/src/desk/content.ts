// The content of a message as the form has it, and as the daemon takes it. Pure.

import type { Message, TakeMessage } from '../api/types.ts';
import { NO_MESSAGE, type Draft } from './drafts.svelte.ts';

/** What the customer's record says of the sender. */
export interface Known {
  name: string;
  kana: string;
  company?: string | null | undefined;
  department?: string | null | undefined;
}

type Sender = NonNullable<TakeMessage['from']>;

/** The message that this draft is. What was typed counts before what the customer's record says. */
export function contentOf(draft: Draft, known?: Known): TakeMessage {
  const { account, call, customer, contact, text, reason, mark, urgency, action, for_text } = draft;
  const isTyped = Boolean(draft.from_name.trim());
  const record = isTyped ? undefined : known;
  const number = draft.from_number.trim();
  const from: Sender = given({
    name: draft.from_name.trim() || record?.kana,
    name_kanji: record?.name,
    company: draft.from_company.trim() || record?.company,
    department: draft.from_department.trim() || record?.department,
    gender: draft.from_gender as Sender['gender'],
    number,
    number_is: number ? ('told' as const) : undefined,
    confirmed: draft.confirmed || undefined,
  });
  const call_back = given({ number: draft.call_back_number.trim(), until: instant(draft.call_back_until) });
  return {
    text,
    ...given({
      account,
      call,
      customer,
      contact,
      reason,
      for_text: contact ? undefined : for_text.trim(),
      mark: mark as TakeMessage['mark'],
      urgency: (urgency || undefined) as TakeMessage['urgency'],
      action: (action || undefined) as TakeMessage['action'],
      hold_until: instant(draft.hold_until),
    }),
    ...(Object.keys(from).length ? { from } : {}),
    ...(Object.keys(call_back).length ? { call_back } : {}),
    ...(draft.transfer ? { transfer: { id: draft.transfer, outcome: draft.transfer_outcome } } : {}),
  };
}

/** The fields of the form for this message; `hasRecord`: the form shows the customer's record beside them. */
export function draftOf(wanted: TakeMessage, hasRecord: boolean): Partial<Draft> {
  const { call_back } = wanted;
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
      mark: wanted.mark,
      urgency: wanted.urgency,
      action: wanted.action === 'none' ? undefined : wanted.action,
      hold_until: local(wanted.hold_until),
      from_name: from?.name,
      from_company: from?.company,
      from_department: from?.department,
      from_gender: from?.gender,
      from_number: from?.number,
      confirmed: from?.confirmed,
      call_back_number: call_back?.number,
      call_back_until: local(call_back?.until),
      transfer: wanted.transfer?.id,
      transfer_outcome: wanted.transfer?.outcome,
    }),
  };
}

/** What a message says, as it would be taken anew. */
export function wantedOf(one: Message): TakeMessage {
  const { account, call, customer, contact, text, reason, from, for_text, action, call_back, urgency, mark, hold_until, transfer } = one;
  return { account, call, customer, contact, text, reason, from, for_text, action, call_back, urgency, mark, hold_until, transfer };
}

/** The fields of the form that differ from the message, as a merge patch of it. */
export function patchOf(draft: Draft, before: Message): Record<string, unknown> {
  const now = contentOf(draft);
  const patch: Record<string, unknown> = {};
  const fields = ['text', 'contact', 'reason', 'mark', 'urgency', 'action', 'hold_until'] as const;
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
  // Another name has other characters, and another number was told.
  if ('name' in sender && from.name_kanji) sender['name_kanji'] = null;
  if ('number' in sender) sender['number_is'] = sender['number'] === null ? null : 'told';
  if (Object.keys(sender).length) patch['from'] = sender;
  const [back, known] = [now.call_back ?? {}, before.call_back ?? {}];
  const call_back: Record<string, unknown> = {};
  if ((back.number ?? null) !== (known.number ?? null)) call_back['number'] = back.number ?? null;
  if (local(back.until) !== local(known.until)) call_back['until'] = back.until ?? null;
  if (Object.keys(call_back).length) patch['call_back'] = call_back;
  return patch;
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
