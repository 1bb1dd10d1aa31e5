import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BURST_MS, keyMeant, KeyGuard, LOST_MS } from '../src/ui/typing.ts';

test('keys after a field was taken away are text, until the person pauses', () => {
  const guard = new KeyGuard();
  assert.equal(guard.isTyped(0), false);
  guard.typed(1_000);
  guard.lost(1_100);
  const keys = [1_150, 1_600, 2_050, 2_500, 2_950, 3_400];
  assert.deepEqual(keys.map((at) => guard.isTyped(at)), keys.map(() => true), 'as long as they follow each other');
  assert.equal(guard.isTyped(3_400 + BURST_MS), false);
  assert.equal(guard.isTyped(3_400 + BURST_MS + 10), false, 'orders may be given fast');
});

test('a key after the person had time to notice is an order', () => {
  const guard = new KeyGuard();
  guard.lost(0);
  assert.equal(guard.isTyped(LOST_MS - 1), true);
  const late = new KeyGuard();
  late.lost(0);
  assert.equal(late.isTyped(LOST_MS), false);
});

test('a person who leaves a field gives orders at once', () => {
  const guard = new KeyGuard();
  guard.typed(0);
  guard.lost(1);
  guard.left();
  assert.equal(guard.isTyped(2), false);
});

test('the key that is meant does not depend on kana layout and caps lock', () => {
  const cases: [string, string, boolean, string][] = [
    ['a', 'KeyA', false, 'a'],
    ['ち', 'KeyA', false, 'a'],
    ['い', 'KeyE', false, 'e'],
    ['ぃ', 'KeyE', true, 'E'],
    ['A', 'KeyA', false, 'a'],
    ['E', 'KeyE', false, 'e'],
    ['E', 'KeyE', true, 'E'],
    ['e', 'KeyE', true, 'E'],
    ['a', 'KeyQ', false, 'a'],
    ['め', 'Slash', false, 'め'],
    ['?', 'Slash', true, '?'],
    ['Escape', 'Escape', false, 'Escape'],
    ['Process', 'KeyA', false, 'Process'],
  ];
  for (const [key, code, shiftKey, meant] of cases) assert.equal(keyMeant({ key, code, shiftKey }), meant, `${key} ${code}`);
});
