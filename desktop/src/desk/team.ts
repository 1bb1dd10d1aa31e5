// In which order a supervisor sees the team, and who stands out. Pure.
//
// | who | level |
// |---|---|
// | asks for help, holds a caller for HOLD_BAD_MS, has a phone that cannot be reached while on duty | bad |
// | holds a caller for HOLD_WATCH_MS, is in after-call work for WRAP_UP_WATCH_MS, not ready for BREAK_WATCH_MS | watch |
// | everybody else | plain |
//
// Invariant: of two people with the same level and state, the smaller extension comes first, so that rows change places only
// when somebody's level or state changes.

import { fold } from '../text/fold.ts';
import { order } from './choose.ts';
import type { Call, Operator } from './state.ts';
import type { Level } from './wall.ts';

export const HOLD_WATCH_MS = 60_000;
export const HOLD_BAD_MS = 120_000;
export const WRAP_UP_WATCH_MS = 120_000;
export const BREAK_WATCH_MS = 15 * 60_000;

const LEVELS: readonly Level[] = ['bad', 'watch', 'plain'];
const STATES = ['on_hold', 'talking', 'reserved', 'wrap_up', 'ready', 'not_ready', 'logged_out'];

/** How somebody is: without a state of their own (nobody logged in) their call says it. */
export function stateOf(person: Operator, call: Call | undefined): Operator['state'] {
  if (person.state && person.state !== 'logged_out') return person.state;
  if (!call) return person.state ?? 'logged_out';
  if (call.operator !== person.extension) return 'reserved';
  return call.state === 'held' ? 'on_hold' : 'talking';
}

/** Since when, if that is known. */
export function sinceOf(person: Operator, call: Call | undefined): string | undefined {
  const state = stateOf(person, call);
  if (state === 'logged_out') return undefined;
  return person.state === state ? person.since : call?.since;
}

export function levelOf(person: Operator, call: Call | undefined, asksForHelp: boolean, now: number): Level {
  const state = stateOf(person, call);
  const since = sinceOf(person, call);
  const lasts = since ? now - Date.parse(since) : 0;
  const isOnDuty = state !== 'logged_out' && state !== 'not_ready';
  if (asksForHelp || (state === 'on_hold' && lasts >= HOLD_BAD_MS) || (isOnDuty && person.phone === 'unreachable')) return 'bad';
  const most = state === 'on_hold' ? HOLD_WATCH_MS : state === 'wrap_up' ? WRAP_UP_WATCH_MS : state === 'not_ready' ? BREAK_WATCH_MS : undefined;
  return most !== undefined && lasts >= most ? 'watch' : 'plain';
}

export interface Member {
  person: Operator;
  call: Call | undefined;
  level: Level;
}

/** What is looked for: a part of a name or an extension, and a state. */
export interface Sought {
  text: string;
  state: string;
}

/** The members who are looked for; with `isUrgent`, who stands out comes first, else they are in the order of their phones. */
export function teamOf(all: readonly Member[], sought: Sought, isUrgent: boolean): Member[] {
  const text = fold(sought.text);
  const has = (one: string | null | undefined) => fold(one ?? '').includes(text);
  const found = all.filter(({ person, call }) => {
    if (sought.state && stateOf(person, call) !== sought.state) return false;
    return !text || has(person.name) || has(person.kana) || has(person.extension) || has(call?.card?.account.name);
  });
  const rank = ({ person, call, level }: Member) => LEVELS.indexOf(level) * STATES.length + STATES.indexOf(stateOf(person, call));
  // Once for each member, not for each comparison.
  const ranked = found.map((one) => ({ one, rank: isUrgent ? rank(one) : 0, phone: one.person.extension ?? '' }));
  return ranked.sort((a, b) => a.rank - b.rank || order(a.phone, b.phone)).map(({ one }) => one);
}
