import assert from 'node:assert/strict';
import { test } from 'node:test';
import { phraseOf } from '../src/text/phrase.ts';

const account = { name: 'さくら', kana: '', answer_phrase: 'さくら商事です。', notes: '', matched_by: 'dialled' as const };
const script = (opening: string) => ({ id: 'usual', version: 1, name: '通常', opening });

test('the opening of the script goes before the answer phrase, in the name of the operator', () => {
  assert.equal(phraseOf(undefined, '佐藤'), '');
  assert.equal(phraseOf({ account }, '佐藤'), 'さくら商事です。');
  assert.equal(phraseOf({ account, script: script('おはようございます、{operator}です。{operator}') }, '佐藤'), 'おはようございます、佐藤です。佐藤');
  assert.equal(phraseOf({ account, script: script('{operator}です。') }, '$&{operator}'), '$&{operator}です。');
});
