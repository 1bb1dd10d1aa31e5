// Romaji as people type names.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kanaOf } from '../src/text/romaji.ts';

test('romaji of both systems is the same kana', () => {
  for (const [text, kana] of [
    ['yamada', 'やまだ'],
    ['Satō', 'さとう'],
    ['shouji', 'しょうじ'],
    ['syouji', 'しょうじ'],
    ['tsuchiya', 'つちや'],
    ['tutiya', 'つちや'],
    ['kanno', 'かんの'],
    ["jun'ichi", 'じゅんいち'],
    ['shimbashi', 'しんばし'],
    ['hattori', 'はっとり'],
    ['kotchi', 'こっち'],
    ['ＯＫＡＤＡ', 'おかだ'],
    ['fujii kentarou', 'ふじいけんたろう'],
    ['konnyaku', 'こんにゃく'],
    ['su-pa-', 'すーぱー'],
  ] as const) {
    assert.equal(kanaOf(text), kana, text);
  }
});

test('a syllable that is on its way does not hide what is typed already', () => {
  assert.equal(kanaOf('yamad'), 'やま');
  assert.equal(kanaOf('sash'), 'さ');
});

test('what is no romaji is nothing', () => {
  for (const text of ['', '山田', 'やまだ', '0901', 'x', 'smith1', 'xyz', 'qa']) assert.equal(kanaOf(text), undefined, text);
});
