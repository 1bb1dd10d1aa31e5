// The wallboard: what its tiles say, and when they raise a sign.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyDesk, type Call, type DeskState, type Operator } from '../src/desk/state.ts';
import { crossed, percent, tilesOf, wallRows, worstOf, SIGNS, type Tile } from '../src/desk/wall.ts';
import type { LiveStats, StatsRow } from '../src/api/types.ts';

const NOW = Date.parse('2026-04-01T13:00:00.000Z');

function stateWith(waits: number[], states: string[]): DeskState {
  const empty = emptyDesk({ id: '2001', role: 'supervisor', extension: '2001' });
  const call = (ms: number, n: number) =>
    ({ id: `c${n}`, state: 'offered', presented_to: [], offered_at: new Date(NOW - ms).toISOString(), pops: {} }) as unknown as Call;
  const person = (state: string, n: number) => ({ id: `o${n}`, extension: `10${n}`, state }) as unknown as Operator;
  return {
    ...empty,
    calls: new Map(waits.map((ms, n) => [`c${n}`, call(ms, n)])),
    operators: new Map(states.map((state, n) => [`o${n}`, person(state, n)])),
  };
}

function liveWith(counters: object, figures: object): LiveStats {
  return { alarms: [], today: { total: { counters, figures }, missing: [] } } as unknown as LiveStats;
}

const tile = (tiles: Tile[], id: string) => tiles.find((one) => one.id === id);

test('who waits and how everybody is comes from the state alone', () => {
  const tiles = tilesOf(stateWith([25_000, 1_000], ['ready', 'talking', 'on_hold', 'wrap_up']), NOW, undefined);
  assert.deepEqual(tile(tiles, 'waiting'), { id: 'waiting', kind: 'count', value: 2, level: 'plain' });
  assert.deepEqual(tile(tiles, 'longest'), { id: 'longest', kind: 'time', value: 25_000, level: 'watch' });
  for (const [id, value] of [['ready', 1], ['talking', 2], ['wrap_up', 1]] as const) assert.equal(tile(tiles, id)?.value, value, id);
  for (const id of ['offered', 'lost', 'rate', 'asa']) assert.equal(tile(tiles, id)?.value, undefined, id);
});

test('what callers left is one number, and nothing before the figures are there', () => {
  const left = (live: LiveStats | undefined) => tile(tilesOf(stateWith([], []), NOW, live), 'left')?.value;
  assert.deepEqual([left(undefined), left(liveWith({}, {})), left(liveWith({ voice: 2, callbacks: 3 }, {}))], [undefined, 0, 5]);
});

test('a sign is raised as well as a colour, and none for a figure that does not exist', () => {
  const levels = (waits: number[], states: string[], figures: object) =>
    tilesOf(stateWith(waits, states), NOW, liveWith({}, figures)).map((one) => one.level);
  assert.equal(tile(tilesOf(stateWith([0], []), NOW, undefined), 'waiting')?.level, 'watch');
  assert.equal(tile(tilesOf(stateWith([0, 0, 0, 0, 0, 0], ['ready']), NOW, undefined), 'waiting')?.level, 'bad');
  assert.equal(tile(tilesOf(stateWith([60_000], ['ready']), NOW, undefined), 'longest')?.level, 'bad');
  const of = (id: string, figures: object) => tile(tilesOf(stateWith([], []), NOW, liveWith({}, figures)), id)?.level;
  for (const [id, formula, plain, watch, bad] of [
    ['rate', 'AR-open', 0.95, 0.9, 0.89],
    ['level', 'SL-ignore', 0.85, 0.8, 0.79],
    ['asa', 'ASA', 14_999, 15_000, 30_000],
  ] as const) {
    assert.deepEqual([plain, watch, bad].map((value) => of(id, { [formula]: value })), ['plain', 'watch', 'bad'], id);
  }
  assert.ok(levels([], [], { 'AR-open': null }).every((level) => level === 'plain'));
  assert.deepEqual(new Set(Object.values(SIGNS)).size, 3);
});

test('the accounts that lost most come first, and ten of them', () => {
  const row = (name: string, counters: object, rate: number | null) =>
    ({ name, counters, figures: { 'AR-open': rate } }) as unknown as StatsRow;
  const rows = wallRows(
    [
      row('A', { offered: 10, abandoned: 1 }, 0.9),
      row('B', { offered: 2, overflowed: 1, blocked: 1 }, 0),
      row('C', { offered: 5 }, 1),
      ...Array.from({ length: 12 }, (_, n) => row(`D${n}`, { offered: 9, abandoned: 1 }, 0.5)),
    ],
    '?',
  );
  const worst = worstOf(rows);
  assert.equal(worst.length, 10);
  assert.deepEqual([worst[0]?.name, worst[1]?.rate, worst.some((one) => one.name === 'C')], ['B', 0.5, false]);
  assert.equal(wallRows([{ counters: {}, figures: {} } as unknown as StatsRow], '?')[0]?.name, '?');
  // A rate just below one is not shown as 100 %.
  assert.deepEqual([percent(0.9999), percent(1), percent(undefined)], ['99.9 %', '100.0 %', '–']);
});

test('a figure that becomes an alarm is told once, and not when it is known for the first time', () => {
  const tile = (id: Tile['id'], level: Tile['level']): Tile => ({ id, kind: 'count', value: 1, level });
  const before = new Map([['waiting', 'watch'], ['rate', 'bad'], ['asa', 'plain']] as const);
  const now = [tile('waiting', 'bad'), tile('rate', 'bad'), tile('asa', 'watch'), tile('level', 'bad')];
  assert.deepEqual(crossed(before, now).map(({ id }) => id), ['waiting']);
  assert.deepEqual(crossed(new Map(), now), []);
});
