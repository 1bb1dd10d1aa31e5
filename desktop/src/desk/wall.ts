// What the wallboard shows: who waits and how everybody is, from the state; the figures of today, as the daemon computes
// them. Pure.
//
// | tile | looked at (▲) | alarm (▲!) |
// |---|---|---|
// | waiting | nobody is ready and somebody waits | more wait than WAITING_BAD |
// | longest wait | WAIT_WATCH_MS | WAIT_BAD_MS |
// | AR-open | below RATE_WATCH | below RATE_BAD |
// | SL-ignore | below LEVEL_WATCH | below LEVEL_BAD |
// | ASA | ASA_WATCH_MS | ASA_BAD_MS |
//
// Invariant: the level is said by a sign as well as by colour, and a figure that does not exist (0/0) has no level.

import type { LiveStats, StatsRow } from '../api/types.ts';
import { waitingCalls } from './choose.ts';
import type { DeskState } from './state.ts';

const WAITING_BAD = 5;
const WAIT_WATCH_MS = 20_000;
const WAIT_BAD_MS = 60_000;
const RATE_WATCH = 0.95;
const RATE_BAD = 0.9;
const LEVEL_WATCH = 0.85;
const LEVEL_BAD = 0.8;
const ASA_WATCH_MS = 15_000;
const ASA_BAD_MS = 30_000;
/** Accounts in the list of those that lost most. */
export const WORST_MAX = 10;

export type Level = 'plain' | 'watch' | 'bad';

export interface Tile {
  id: 'waiting' | 'longest' | 'ready' | 'talking' | 'wrap_up' | 'offered' | 'answered' | 'lost' | 'left' | 'rate' | 'level' | 'asa';
  kind: 'count' | 'time' | 'ratio';
  /** Absent: there is no such figure. */
  value: number | undefined;
  level: Level;
}

export const SIGNS: Record<Level, string> = { plain: '', watch: '▲', bad: '▲!' };

/** What is read from a row of figures: an account that is lost most, or a queue. */
export interface WallRow {
  name: string;
  offered: number;
  lost: number;
  rate: number | undefined;
}

/** The tiles. `now` is the daemon's time; without `live`, those of today are empty. */
export function tilesOf(state: DeskState, now: number, live: LiveStats | undefined): Tile[] {
  const waiting = waitingCalls(state).filter((call) => call.state !== 'parked');
  const began = waiting.map((call) => Date.parse(call.offered_at));
  const longest = began.length ? Math.max(0, now - Math.min(...began)) : undefined;
  const people = [...state.operators.values()].filter((one) => one.extension);
  const how = (...states: string[]) => people.filter((one) => states.includes(one.state)).length;
  const ready = how('ready');
  const total = live?.today.total;
  const figure = (id: string) => total?.figures[id] ?? undefined;
  const count = (value: number | undefined, level: Level = 'plain') => ({ kind: 'count', value, level }) as const;
  return [
    { id: 'waiting', ...count(waiting.length, waiting.length > WAITING_BAD ? 'bad' : waiting.length && !ready ? 'watch' : 'plain') },
    { id: 'longest', kind: 'time', value: longest, level: above(longest, WAIT_WATCH_MS, WAIT_BAD_MS) },
    { id: 'ready', ...count(ready) },
    { id: 'talking', ...count(how('talking', 'on_hold')) },
    { id: 'wrap_up', ...count(how('wrap_up')) },
    { id: 'offered', ...count(total && (total.counters.offered ?? 0)) },
    { id: 'answered', ...count(total && (total.counters.answered ?? 0)) },
    { id: 'lost', ...count(total && lostOf(total)) },
    { id: 'left', ...count(total && leftOf(total)) },
    { id: 'rate', kind: 'ratio', value: figure('AR-open'), level: below(figure('AR-open'), RATE_WATCH, RATE_BAD) },
    { id: 'level', kind: 'ratio', value: figure('SL-ignore'), level: below(figure('SL-ignore'), LEVEL_WATCH, LEVEL_BAD) },
    { id: 'asa', kind: 'time', value: figure('ASA'), level: above(figure('ASA'), ASA_WATCH_MS, ASA_BAD_MS) },
  ];
}

/** The tiles that became an alarm; those that are known for the first time did not. */
export function crossed(before: ReadonlyMap<string, Level>, tiles: readonly Tile[]): Tile[] {
  return tiles.filter(({ id, level }) => level === 'bad' && before.has(id) && before.get(id) !== 'bad');
}

function above(value: number | undefined, watch: number, bad: number): Level {
  if (value === undefined) return 'plain';
  return value >= bad ? 'bad' : value >= watch ? 'watch' : 'plain';
}

function below(value: number | undefined, watch: number, bad: number): Level {
  if (value === undefined) return 'plain';
  return value < bad ? 'bad' : value < watch ? 'watch' : 'plain';
}

/** Callers who reached nobody: abandoned, overflowed or blocked. */
function lostOf(row: StatsRow): number {
  const { abandoned = 0, overflowed = 0, blocked = 0 } = row.counters;
  return abandoned + overflowed + blocked;
}

/** Callers who left a voice message or asked to be called back; some of them are among the lost. */
function leftOf(row: StatsRow): number {
  const { voice = 0, callbacks = 0 } = row.counters;
  return voice + callbacks;
}

/** The rows as the wallboard shows them. */
export function wallRows(rows: readonly StatsRow[], unknown: string): WallRow[] {
  return rows.map((row) => ({
    name: row.name ?? row.key ?? unknown,
    offered: row.counters.offered ?? 0,
    lost: lostOf(row),
    rate: row.figures['AR-open'] ?? undefined,
  }));
}

/** The accounts that lost most callers; an account that lost none is none of them. */
export function worstOf(rows: readonly WallRow[]): WallRow[] {
  return rows
    .filter((row) => row.lost)
    .sort((a, b) => b.lost - a.lost || (a.rate ?? 1) - (b.rate ?? 1) || a.name.localeCompare(b.name))
    .slice(0, WORST_MAX);
}

/** 93.8 %, or –. */
export function percent(value: number | undefined): string {
  return value === undefined ? '–' : `${(Math.floor(value * 1_000) / 10).toFixed(1)} %`;
}
