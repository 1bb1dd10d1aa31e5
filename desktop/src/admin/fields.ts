// The fields of each record: one line for each.

import type { Word } from './words.ts';

export interface Field {
  name: string;
  kind: 'text' | 'area' | 'lines' | 'number' | 'check' | 'select' | 'hours' | 'time' | 'shifts';
  label: Word;
  help?: Word;
  isRequired?: boolean;
  /** An empty text is `null`. */
  isNullable?: boolean;
  max?: number;
  options?: readonly (readonly [string, Word])[];
  /** Options that are records: the value, and what people read. */
  choices?: readonly (readonly [string, string])[];
}

/** An account to choose, where it decides whose record it is. */
const OF_ACCOUNT: Field = { name: 'account', kind: 'select', label: 'field.account', isRequired: true };

export const CONTACT: readonly Field[] = [
  OF_ACCOUNT,
  { name: 'code', kind: 'text', label: 'field.code', isNullable: true, max: 40 },
  { name: 'name', kind: 'text', label: 'field.person', isRequired: true, max: 120 },
  { name: 'kana', kind: 'text', label: 'field.kana', max: 120 },
  { name: 'role', kind: 'text', label: 'field.role', max: 120 },
  { name: 'number', kind: 'text', label: 'field.number', isNullable: true, max: 40 },
  { name: 'email', kind: 'text', label: 'field.email', isNullable: true, max: 254 },
  { name: 'on_call_order', kind: 'number', label: 'field.on_call_order', help: 'help.on_call_order', max: 4 },
  { name: 'on_call_shifts', kind: 'shifts', label: 'field.on_call_shifts', help: 'help.on_call_shifts' },
  { name: 'absent_from', kind: 'time', label: 'field.absent_from' },
  { name: 'absent_until', kind: 'time', label: 'field.absent_until' },
  { name: 'deputy', kind: 'select', label: 'field.deputy', isNullable: true },
  { name: 'days_off', kind: 'lines', label: 'field.days_off', help: 'help.days_off' },
  { name: 'ring_s', kind: 'number', label: 'field.ring_s', max: 3 },
  { name: 'accept_by_key', kind: 'check', label: 'field.accept_by_key' },
  { name: 'no_transfer', kind: 'check', label: 'field.no_transfer' },
  { name: 'do_not_tell', kind: 'check', label: 'field.do_not_tell' },
  {
    name: 'language',
    kind: 'select',
    label: 'field.contact_language',
    isNullable: true,
    options: [
      ['', 'language.of_account'],
      ['ja', 'language.ja'],
      ['en', 'language.en'],
    ],
  },
  { name: 'endpoint_order', kind: 'lines', label: 'field.endpoint_order', help: 'help.endpoint_order' },
];

export const CUSTOMER: readonly Field[] = [
  OF_ACCOUNT,
  { name: 'code', kind: 'text', label: 'field.code', isNullable: true, max: 40 },
  { name: 'name', kind: 'text', label: 'field.person', isRequired: true, max: 120 },
  { name: 'kana', kind: 'text', label: 'field.kana', max: 120 },
  { name: 'company', kind: 'text', label: 'field.company', isNullable: true, max: 120 },
  { name: 'department', kind: 'text', label: 'field.department', isNullable: true, max: 120 },
  { name: 'numbers', kind: 'lines', label: 'field.numbers', help: 'help.numbers' },
  { name: 'flags', kind: 'lines', label: 'field.flags', help: 'help.flags' },
  { name: 'notes', kind: 'area', label: 'field.notes', isNullable: true, max: 10_000 },
];

/** The same fields, with the records that can be chosen in some of them. */
export function withChoices(fields: readonly Field[], choices: Readonly<Record<string, readonly (readonly [string, string])[]>>): readonly Field[] {
  return fields.map((field) => (choices[field.name] ? { ...field, choices: choices[field.name] ?? [] } : field));
}

export const ACCOUNT: readonly Field[] = [
  { name: 'code', kind: 'text', label: 'field.code', help: 'help.code', isRequired: true, max: 40 },
  { name: 'name', kind: 'text', label: 'field.name', isRequired: true, max: 120 },
  { name: 'kana', kind: 'text', label: 'field.kana', max: 120 },
  { name: 'answer_phrase', kind: 'area', label: 'field.answer_phrase', max: 2_000 },
  { name: 'notes', kind: 'area', label: 'field.notes', max: 10_000 },
  { name: 'dialled', kind: 'lines', label: 'field.dialled', help: 'help.numbers' },
  { name: 'forwarding', kind: 'lines', label: 'field.forwarding', help: 'help.numbers' },
  { name: 'hours', kind: 'hours', label: 'field.hours' },
  { name: 'wrap_up_s', kind: 'number', label: 'field.wrap_up_s', help: 'help.wrap_up_s', max: 4 },
  { name: 'unanswered_min', kind: 'number', label: 'field.unanswered_min', help: 'help.unanswered_min', max: 4 },
  { name: 'unanswered_urgent_min', kind: 'number', label: 'field.unanswered_urgent_min', help: 'help.unanswered_min', max: 4 },
  { name: 'mail_host', kind: 'select', label: 'field.mail_host', help: 'help.mail_host', isNullable: true, choices: [] },
  {
    name: 'caller_id_policy',
    kind: 'select',
    label: 'field.caller_id_policy',
    options: [
      ['caller', 'policy.caller'],
      ['account', 'policy.account'],
      ['service', 'policy.service'],
    ],
  },
  { name: 'extra_numbers', kind: 'lines', label: 'field.extra_numbers', help: 'help.numbers' },
  { name: 'link', kind: 'text', label: 'field.link', isNullable: true, max: 500 },
  { name: 'accept_by_key', kind: 'check', label: 'field.accept_by_key' },
  { name: 'never_monitor', kind: 'check', label: 'field.never_monitor' },
];

const ROLES: readonly (readonly [string, Word])[] = [
  ['operator', 'role.operator'],
  ['supervisor', 'role.supervisor'],
  ['admin', 'role.admin'],
  ['system', 'role.system'],
];

export const USER: readonly Field[] = [
  { name: 'name', kind: 'text', label: 'users.name', isRequired: true, max: 120 },
  { name: 'kana', kind: 'text', label: 'field.kana', max: 120 },
  { name: 'role', kind: 'select', label: 'users.role', options: ROLES },
  { name: 'extension', kind: 'text', label: 'users.extension', isNullable: true, max: 12 },
  { name: 'team', kind: 'text', label: 'users.team', isNullable: true, max: 120 },
];

/** The fields of these names, of a record. */
export function fieldsOf(fields: readonly Field[], record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(fields.map(({ name }) => [name, record[name]]));
}
