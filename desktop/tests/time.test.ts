import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dayAndTime, duration } from '../src/text/time.ts';

test('durations', () => {
  for (const [ms, text] of [
    [-5, '0:00'],
    [7_999, '0:07'],
    [754_000, '12:34'],
    [3_723_000, '1:02:03'],
  ] as const) {
    assert.equal(duration(ms), text);
  }
});

test('a day stands there where it is another one, and a year where it is another one', () => {
  const now = new Date(2026, 3, 1, 12).getTime();
  const at = (...when: [number, number, number, number, number]) => dayAndTime(new Date(...when).toISOString(), now, 'en');
  assert.equal(at(2026, 3, 1, 9, 5), '09:05');
  assert.ok(/3\/31.*09:05/.test(at(2026, 2, 31, 9, 5)));
  assert.ok(/2025.*09:05/.test(at(2025, 3, 1, 9, 5)));
  assert.equal(dayAndTime('nonsense', now, 'en'), '');
});
