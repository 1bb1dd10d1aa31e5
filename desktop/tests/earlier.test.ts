import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finished } from '../src/api/types.ts';
import { folded } from '../src/desk/earlier.ts';

const call = (id: string, outcome: string, at: string, notes = '') =>
  ({ id, outcome, offered_at: at, wrap_ups: notes ? [{ notes }] : [] }) as unknown as Finished;

test('callers who gave up again and again are one line; what somebody wrote, and what is a day apart, stands by itself', () => {
  const calls = [
    call('1', 'abandoned', '2026-11-30T09:05:00Z'),
    call('2', 'abandoned', '2026-11-30T09:04:00Z'),
    call('3', 'abandoned', '2026-11-30T09:03:00Z'),
    call('4', 'answered', '2026-11-30T09:02:00Z'),
    call('5', 'abandoned', '2026-11-30T09:01:00Z'),
    call('6', 'abandoned', '2026-11-30T09:00:00Z', 'wrong number'),
    call('7', 'abandoned', '2026-11-28T09:00:00Z'),
    call('8', 'abandoned', '2026-11-27T09:00:00Z'),
  ];
  const shown = folded(calls).map(({ call: { id }, times }) => `${id}×${times}`);
  assert.deepEqual(shown, ['1×3', '4×1', '5×1', '6×1', '7×1', '8×1']);
  assert.deepEqual(folded([]), []);
});
