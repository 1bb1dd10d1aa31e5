// What a draft answers of its script, what is asked of the daemon for the form, and what the message says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScriptField, ScriptForm } from '../src/api/types.ts';
import type { Draft } from '../src/desk/drafts.svelte.ts';
import { answer, answersOf, filled, hasUnasked, isHidden, missingOf, openQuestions, questionOf, scriptOf, usualContact, valueOf } from '../src/desk/script.ts';

const CALL = '0190a5c8-0000-7000-8000-000000000001';

const field = (id: string, more: Partial<ScriptField> = {}): ScriptField => ({ id, label: id, type: 'text', required: 'no', sensitive: false, ...more });

const FIELDS = {
  name: field('name', { type: 'kana', to: 'from.name' }),
  gender: field('gender', { type: 'choice', choices: ['男性', '女性'], to: 'from.gender' }),
  contact: field('who', { type: 'contact', to: 'contact' }),
  text: field('what', { type: 'lines', to: 'text', default: '折り返し希望' }),
  signs: field('signs', { type: 'choices', choices: ['熱', '咳', 'なし'], sensitive: true }),
  count: field('count', { type: 'number', default: '1' }),
};

function formOf(fields: ScriptField[], defaults: Partial<ScriptForm['defaults']> = {}): ScriptForm {
  const steps = [{ id: 'a', level: 'info' as const, fields }];
  const texts = { language: 'ja' as const, name_form: 'kana' as const, opening: '', closing: '' };
  return { ...texts, message_required: false, reasons: [], defaults: { privacy: 'full', ...defaults }, steps, missing: [] };
}

function draftOf(more: Partial<Draft> = {}): Draft {
  const texts = { contact: '', text: '', reason: '', action: '', urgency: '', mark: '', for_text: '', from_name: '', from_gender: '' };
  const script = { script: 'usual', script_version: 3, answers: {}, offers: {}, transfer: '', customer: '' };
  return { id: CALL, call: CALL, account: 'A', ...texts, ...script, ...more } as unknown as Draft;
}

test('a question with a field of the message is answered by it, every other one by its own answer', () => {
  const draft = draftOf();
  answer(draft, FIELDS.name, ['ヤマモト']);
  answer(draft, FIELDS.gender, ['女性']);
  answer(draft, FIELDS.signs, ['熱', '咳']);
  assert.deepEqual([draft.from_name, draft.from_gender], ['ヤマモト', 'f']);
  assert.deepEqual([valueOf(draft, FIELDS.name), valueOf(draft, FIELDS.gender)], [['ヤマモト'], ['女性']]);
  const form = formOf(Object.values(FIELDS));
  const all = answersOf(draft, form);
  assert.deepEqual(all, [
    { id: 'signs', label: 'signs', value: '熱、咳' },
    { id: 'count', label: 'count', value: '1' },
  ]);
  // As a message has it, in one text.
  draft.answers['signs'] = ['熱、咳'];
  assert.deepEqual(valueOf(draft, FIELDS.signs), ['熱', '咳']);
});

test('a default is the answer until somebody gives another one, or none', () => {
  const draft = draftOf();
  assert.deepEqual([valueOf(draft, FIELDS.text), valueOf(draft, FIELDS.count)], [['折り返し希望'], ['1']]);
  assert.equal(filled(draft, formOf([FIELDS.text]), []).text, '折り返し希望');
  answer(draft, FIELDS.text, ['']);
  answer(draft, FIELDS.count, ['']);
  assert.deepEqual([valueOf(draft, FIELDS.text).join(''), valueOf(draft, FIELDS.count).join('')], ['', '']);
  assert.equal(filled(draft, formOf([FIELDS.text]), []).text, '');
});

test("the customer's record answers what is not typed", () => {
  const known = { name: '田中太郎', kana: 'タナカタロウ', company: '港商事' };
  assert.deepEqual(valueOf(draftOf(), FIELDS.name, known), ['タナカタロウ']);
  assert.deepEqual(valueOf(draftOf({ from_name: 'ヤマモト' }), FIELDS.name, known), ['ヤマモト']);
});

test('the daemon is asked with what was answered, and again where new questions are answered already', () => {
  const draft = draftOf({ from_name: 'ヤマモト', reason: 'symptom', mark: 'none', transfer: 't', answers: { since: ['昨日'] }, offers: { case: 'later' } });
  const asked = questionOf(draft, []);
  const { values, ...rest } = asked;
  assert.deepEqual(values, { since: ['昨日'] });
  const script = { id: 'usual', version: 3 };
  assert.deepEqual(rest, { call: CALL, account: 'A', reason: 'symptom', script, transfer_failed: true, offers: ['case'] });
  assert.ok(hasUnasked(formOf([FIELDS.name]), asked, draft));
  assert.ok(!hasUnasked(formOf([FIELDS.gender]), asked, draft), 'nobody answered it');
  const again = questionOf(draft, [FIELDS.name]);
  assert.ok(!hasUnasked(formOf([FIELDS.name]), again, draft));
  assert.equal(questionOf(draftOf({ call: 'message of nobody' }), []).call, undefined);
});

test('what the script decides goes into the message unless the person chose otherwise', () => {
  const contacts = [{ id: 'C1', code: 'nurse' }];
  const form = formOf([], { action: 'call_back', urgency: 'urgent', mark: 'complaint', contact: 'nurse', privacy: 'notice' });
  const { action, urgency, mark, contact } = filled(draftOf(), form, contacts);
  assert.deepEqual([action, urgency, mark, contact], ['call_back', 'urgent', 'complaint', 'C1']);
  const chosen = filled(draftOf({ action: 'none', urgency: 'normal', mark: 'none', for_text: '佐藤' }), form, contacts);
  assert.deepEqual([chosen.action, chosen.urgency, chosen.mark, chosen.contact], ['none', 'normal', 'none', '']);
  assert.equal(usualContact(formOf([], { contact: 'gone' }), contacts), '');
  const script = { script: { id: 'usual', version: 3 }, offers: [{ id: 'case', result: 'accepted' }], privacy: 'notice' };
  assert.deepEqual(scriptOf(draftOf({ offers: { case: 'accepted' } }), form), script);
});

test('what must be answered is asked for until it is, everything else once more', () => {
  const [must, soft] = [
    { id: 'name', label: 'x', soft: false },
    { id: 'card', label: 'y', soft: true },
  ];
  assert.deepEqual(openQuestions([soft, must], new Set()), [must]);
  assert.deepEqual(openQuestions([soft], new Set()), [soft]);
  assert.deepEqual(openQuestions([soft], new Set(['card'])), []);
  assert.deepEqual(openQuestions([must], new Set(['name'])), [must]);
});

test('without a current form, what was answered since is not asked for', () => {
  const missing = [
    { id: 'name', label: 'x', soft: false },
    { id: 'reason', label: 'z', soft: true },
  ];
  const form = { ...formOf([FIELDS.name]), missing };
  const draft = draftOf({ from_name: 'ヤマモト' });
  assert.deepEqual(missingOf(form, false, draft), [missing[1]]);
  assert.deepEqual(missingOf(form, true, draft), missing);
  assert.deepEqual(missingOf(form, false, draftOf({ reason: 'order' })), [missing[0]]);
});

test('answers that a person may not read are not written by that person', () => {
  assert.ok(isHidden({ answers: [{ id: 'a', label: 'a', value: '•••', sensitive: true }] }));
  assert.ok(!isHidden({ answers: [{ id: 'a', label: 'a', value: 'x', sensitive: true }] }));
});
