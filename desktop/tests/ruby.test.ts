import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rubyOf } from '../src/text/ruby.ts';

test('kana stand over the part of a name that they say', () => {
  const all = [
    ['株式会社さくら商事', 'さくらしょうじ', ['株式会社', 'さくら商事', '']],
    ['株式会社　さくら商事', 'サクラショウジ', ['株式会社　', 'さくら商事', '']],
    ['さくら商事株式会社', 'さくらしょうじ', ['', 'さくら商事', '株式会社']],
    ['さくら商事 (株)', 'さくらしょうじ', ['', 'さくら商事', ' (株)']],
    ['株式会社さくら商事', 'かぶしきがいしゃさくらしょうじ', ['', '株式会社さくら商事', '']],
    ['さくら商事株式会社', 'さくらしょうじカブシキガイシャ', ['', 'さくら商事株式会社', '']],
    ['みなと法律事務所', 'みなとほうりつじむしょ', ['', 'みなと法律事務所', '']],
    ['株式会社', 'かぶ', ['', '株式会社', '']],
  ] as const;
  for (const [name, kana, wanted] of all) {
    const { before, base, after } = rubyOf(name, kana);
    assert.deepEqual([before, base, after], wanted, `${name} ${kana}`);
    assert.equal(before + base + after, name);
  }
});
