import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatsRow } from '../src/api/types.ts';
import { worked, workOf } from '../src/desk/work.ts';

function row(name: string | undefined, counters: object, figures: object = {}): StatsRow {
  return { key: 'k', name, counters, figures } as unknown as StatsRow;
}

test('a row of work has its counts, its times and figures that exist', () => {
  const work = workOf(row('佐藤', { parts: 2, talk_ms: 60_000, wrap_ms: 9_000 }, { AHT: 34_500, OCC: null }), '?');
  assert.deepEqual(
    [work.name, work.parts, work.talk, work.hold, work.wrapUp, work.handling, work.occupancy],
    ['佐藤', 2, 60_000, 0, 9_000, 34_500, undefined],
  );
  assert.equal(workOf(row(undefined, {}), '?').name, 'k');
});

test('people without work are left out, and the busiest come first', () => {
  const works = [row('a', { ready_ms: 5 }), row('b', { parts: 1, talk_ms: 5 }), row('c', { parts: 3 }), row('d', { wrap_ms: 1 })];
  assert.deepEqual(worked(works.map((one) => workOf(one, '?'))).map((one) => one.name), ['c', 'b', 'd']);
});
