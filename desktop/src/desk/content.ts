// The content of a message as the form has it, and as the daemon takes it. Pure.

import type { TakeMessage } from '../api/types.ts';
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
      action: wanted.action,
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
