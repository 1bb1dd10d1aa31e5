// The script of a call (docs/scripts.md) in the composer: which fields of a draft answer its questions, what is asked of the
// daemon for the form, and what the message says of it. Pure.
//
// A question with a `to` is answered by that field of the message, every other one by `answers`.

import type {
  EvaluateScript,
  MessageFields,
  ScriptAnswer,
  ScriptField,
  ScriptForm,
  ScriptMissing,
  TakeMessage,
} from '../api/types.ts';
import type { Known } from './content.ts';
import type { Draft } from './drafts.svelte.ts';

/** Between the choices of an answer with several, where it is one text. */
const SEPARATOR = '、';
/** What is shown of a sensitive answer to those who may not read it. */
const HIDDEN = '•••';

/** What the daemon needs of a contact. */
interface Named {
  id: string;
  code?: string | null | undefined;
}

/** The fields of a draft that are texts. */
type TextField = { [K in keyof Draft]: Draft[K] extends string ? K : never }[keyof Draft];

const CORE: Record<string, TextField> = {
  'from.name': 'from_name',
  'from.name_kanji': 'from_kanji',
  'from.company': 'from_company',
  'from.department': 'from_department',
  'from.gender': 'from_gender',
  'from.number': 'from_number',
  contact: 'contact',
  for_text: 'for_text',
  subject: 'subject',
  text: 'text',
  'call_back.number': 'call_back_number',
  'call_back.from': 'call_back_from',
  'call_back.until': 'call_back_until',
  'call_back.text': 'call_back_text',
};

/** What the customer's record answers while the form shows the record. */
function ofRecord(to: string, known: Known): string {
  if (to === 'from.name') return known.kana;
  if (to === 'from.name_kanji') return known.name;
  if (to === 'from.company') return known.company ?? '';
  return to === 'from.department' ? (known.department ?? '') : '';
}

export const fieldsOf = (form: ScriptForm): ScriptField[] => form.steps.flatMap((step) => step.fields);

/** Whether the form has a question for this field of the message. */
export const asks = (form: ScriptForm, to: string): boolean => fieldsOf(form).some((field) => field.to === to);

/** A choice as the message has it: the words of a script for men and women are the daemon's. */
function genderOf(choice: string): string {
  if (['男性', '男', 'male', 'Male', 'm'].includes(choice)) return 'm';
  return ['女性', '女', 'female', 'Female', 'f'].includes(choice) ? 'f' : '';
}

/** The answer to a question; several for a question with several choices. */
export function valueOf(draft: Draft, field: ScriptField, known?: Known): string[] {
  const usual = field.default && !(field.id in draft.answers) ? [field.default] : [];
  if (!field.to) {
    const all = draft.answers[field.id] ?? usual;
    return field.type === 'choices' ? all.flatMap((text) => text.split(SEPARATOR)).filter(Boolean) : all;
  }
  const core = CORE[field.to];
  const text = core ? draft[core] : '';
  if (field.to === 'from.gender') {
    const choice = text && field.choices?.find((one) => genderOf(one) === text);
    return choice ? [choice] : usual;
  }
  if (field.to === 'contact') return [draft.contact || draft.for_text];
  const record = known ? ofRecord(field.to, known) : '';
  return text || record ? [text || record] : usual;
}

/** Answers a question. */
export function answer(draft: Draft, field: ScriptField, value: string[]): void {
  const core = field.to ? CORE[field.to] : undefined;
  // Of a question with a `to`, that it was answered: its default does not come back.
  draft.answers[field.id] = core ? [] : value;
  if (!core) return;
  const text = value[0] ?? '';
  draft[core] = field.to === 'from.gender' ? genderOf(text) : text;
}

/** Whether the customer's record answers this question. */
export const isKnownBy = (field: ScriptField, known: Known | undefined): boolean => Boolean(known && field.to && ofRecord(field.to, known));

/** What is asked of the daemon for the form. `seen`: the questions that were shown so far. */
export function questionOf(draft: Draft, seen: Iterable<ScriptField>, known?: Known): EvaluateScript {
  const values: Record<string, string[]> = {};
  for (const [id, value] of Object.entries(draft.answers)) values[id] = [...value];
  for (const field of seen) values[field.id] = valueOf(draft, field, known);
  const mark = draft.mark === 'none' ? '' : draft.mark;
  const { account, customer, reason, action, urgency, contact } = draft;
  return {
    ...given({ call: isCall(draft) ? draft.call : '', account, customer, reason, action, urgency, mark, contact }),
    ...(draft.script ? { script: { id: draft.script, version: draft.script_version } } : {}),
    values,
    transfer_failed: Boolean(draft.transfer),
    offers: Object.keys(draft.offers),
  } as EvaluateScript;
}

/** A message without a call has a draft, but no call. */
const isCall = (draft: Draft): boolean => /^[0-9a-f-]{36}$/.test(draft.call);

/** Whether the daemon has not been asked with an answer that is there: the form that it gave has new questions. */
export function hasUnasked(form: ScriptForm, asked: EvaluateScript, draft: Draft, known?: Known): boolean {
  return fieldsOf(form).some((field) => !(field.id in (asked.values ?? {})) && valueOf(draft, field, known).some((text) => text));
}

/** The answers of a message: those that stand in no field of it. */
export function answersOf(draft: Draft, form: ScriptForm): ScriptAnswer[] {
  const own = fieldsOf(form).filter((field) => !field.to);
  const all = own.map((field) => ({ id: field.id, label: field.label, value: valueOf(draft, field).join(SEPARATOR) }));
  return all.filter((one) => one.value.trim());
}

/** The contact with the code that the script names. */
export function usualContact(form: ScriptForm | undefined, contacts: readonly Named[]): string {
  const code = form?.defaults.contact;
  return (code && contacts.find((one) => one.code === code)?.id) || '';
}

/** The draft with what the script decides where the person has chosen nothing. */
export function filled(draft: Draft, form: ScriptForm, contacts: readonly Named[]): Draft {
  const { action, urgency, mark } = form.defaults;
  const core: Partial<Record<TextField, string>> = {};
  for (const field of fieldsOf(form)) {
    const name = field.to && CORE[field.to];
    const value = valueOf(draft, field)[0];
    if (name && !draft[name] && value && field.to !== 'contact') core[name] = field.to === 'from.gender' ? genderOf(value) : value;
  }
  return {
    ...draft,
    ...core,
    action: draft.action || (action ?? ''),
    urgency: draft.urgency || (urgency ?? ''),
    mark: draft.mark || (mark ?? ''),
    contact: draft.contact || (draft.for_text.trim() ? '' : usualContact(form, contacts)),
  };
}

/** What a message has of its script. */
export function scriptOf(draft: Draft, form: ScriptForm): Pick<TakeMessage, 'script' | 'answers' | 'offers' | 'privacy'> {
  const offers = Object.entries(draft.offers).map(([id, result]) => ({ id, result }));
  const answers = answersOf(draft, form);
  return {
    ...(draft.script ? { script: { id: draft.script, version: draft.script_version } } : {}),
    ...(answers.length ? { answers } : {}),
    ...(offers.length ? { offers: offers as NonNullable<TakeMessage['offers']> } : {}),
    ...(form.defaults.privacy === 'full' ? {} : { privacy: form.defaults.privacy }),
  };
}

/** Whether a person reads the answers of a message only in part; then they cannot write them either. */
export const isHidden = (fields: Pick<MessageFields, 'answers'>): boolean => Boolean(fields.answers?.some((one) => one.value === HIDDEN));

/** The questions that are open; where the form is not current, without those that were answered since. */
export function missingOf(form: ScriptForm, isCurrent: boolean, draft: Draft, known?: Known): ScriptMissing[] {
  const isAnswered = (id: string) => {
    const field = fieldsOf(form).find((one) => one.id === id);
    return field ? valueOf(draft, field, known).some((text) => text.trim()) : Boolean(draft.reason);
  };
  return form.missing.filter((one) => isCurrent || !isAnswered(one.id));
}

/** The questions without which the message is not saved; then those that are asked once more (`again`: these were). */
export function openQuestions(missing: readonly ScriptMissing[], again: ReadonlySet<string>): ScriptMissing[] {
  const must = missing.filter((one) => !one.soft);
  return must.length ? must : missing.filter((one) => !again.has(one.id));
}

function given(fields: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
}
