import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hueOf, monogramOf } from '../src/text/monogram.ts';

test('the letter is that of the name itself', () => {
  for (const [name, letter] of [
    ['株式会社さくら商事', 'さ'],
    ['医療法人社団ひかり歯科', 'ひ'],
    ['㈱アサヒ', 'ア'],
    ['みなと法律事務所', 'み'],
    ['The Grand Hotel', 'G'],
    ['acme', 'A'],
    ['株式会社', '株'],
    ['👩‍👩‍👧‍👦家', '👩‍👩‍👧‍👦'],
    ['', ''],
  ] as const) {
    assert.equal(monogramOf(name), letter, name);
  }
});

test('an account keeps its colour, and accounts are spread over all of them', () => {
  const ids = Array.from({ length: 600 }, (_, n) => `019a0000-0000-7000-8000-${String(n).padStart(12, '0')}`);
  assert.equal(hueOf(ids[0] ?? ''), hueOf(ids[0] ?? ''));
  const counts = new Map<number, number>();
  for (const id of ids) counts.set(hueOf(id), (counts.get(hueOf(id)) ?? 0) + 1);
  assert.equal(counts.size, 12);
  assert.ok(Math.min(...counts.values()) > 20, [...counts.values()].join());
});
