import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fold, foldNumber, hasNumber } from '../src/text/fold.ts';

test('ways to write the same are the same', () => {
  for (const same of [
    ['ﾀｶﾊｼ', 'タカハシ', 'たかはし', 'タカ　ハシ'],
    ['ｶﾞ', 'ガ', 'か゛'],
    ['smith', 'ＳＭＩＴＨ'],
    ['高橋', '髙橋', '髙\u{e0100}橋'],
    ['佐々木', '佐佐木'],
    ['㈱ﾐﾎﾝ商会', '株式会社ミホン商会', '（株）みほん 商会'],
    ['ショウジ', 'シヨウジ'],
    ['スーパー', 'ス－パ－'],
  ]) {
    for (const text of same) assert.equal(fold(text), fold(same[0] ?? ''), text);
  }
  assert.equal(fold('は') === fold('ば'), false);
});

test('a number is digits, however it is written', () => {
  assert.equal(foldNumber('０９０－００００－０００１'), '09000000001');
  assert.equal(foldNumber('(03) 5555'), '035555');
  assert.equal(foldNumber('A-12'), undefined);
});

test('a number has the digits in its national and in its international form', () => {
  for (const digits of ['0355550111', '81355550111', '5555']) {
    assert.equal(hasNumber('03-5555-0111', digits) && hasNumber('+81355550111', digits), true, digits);
  }
  assert.equal(hasNumber('03-5555-0111', '0112'), false);
});
