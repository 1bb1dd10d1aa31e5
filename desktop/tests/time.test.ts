import assert from 'node:assert/strict';
import { test } from 'node:test';
import { duration } from '../src/text/time.ts';

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
