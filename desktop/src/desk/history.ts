// Finished calls as the daemon keeps them, in the form in which the page shows what was done.

import type { Finished, Outcome, RecordedWrapUp } from '../api/types.ts';
import { fold, foldNumber, hasNumber } from '../text/fold.ts';
import { order } from './choose.ts';
import { isSameWork, type PastCall } from './state.ts';

/** Of a call to the outside the other side is the number that was called. */
export function asPast(call: Finished): PastCall {
  const { customer, customer_name: name } = call;
  const isOutbound = call.direction === 'outbound';
  const number = isOutbound ? call.dialled : call.caller;
  const past: PastCall = {
    id: call.id,
    direction: call.direction,
    card: {
      caller: {
        presentation: isOutbound ? 'allowed' : call.presentation,
        ...(number ? { number } : {}),
      },
      account: {
        ...(call.account ? { id: call.account } : {}),
        ...{ name: call.account_name ?? '', kana: '', answer_phrase: '', notes: '', matched_by: call.matched_by },
      },
      customers: customer && name ? [{ id: customer, name, kana: '', flags: [] }] : [],
      history: { calls: 0, open_messages: 0 },
    },
    offered_at: call.offered_at,
    ended_at: call.ended_at,
    outcome: call.outcome,
    operators: call.operators,
    wrap_ups: call.wrap_ups,
  };
  if (call.answered_at) past.answered_at = call.answered_at;
  return past;
}

/** Both lists as one, newest first: of a call that is in both the page knows most, and the daemon what came later. */
export function merged(here: readonly PastCall[], kept: readonly PastCall[]): PastCall[] {
  const all = new Map(kept.map((one) => [one.id, one]));
  for (const one of here) {
    const known = all.get(one.id);
    all.set(one.id, { ...known, ...one, card: one.card ?? known?.card });
  }
  return [...all.values()].sort((a, b) => order(b.offered_at, a.offered_at) || order(b.id, a.id));
}

/** What operators recorded about the call: the daemon's list, and what events brought since. */
export function recordedOf(call: PastCall, since: readonly RecordedWrapUp[] = []): RecordedWrapUp[] {
  const kept = call.wrap_ups ?? [];
  const now = since.map((one) => ({ ...kept.find((before) => isSameWork(before, one)), ...one }));
  return [...kept.filter((one) => !since.some((later) => isSameWork(one, later))), ...now];
}

/** Every outcome that the contract has, in the order of the filter. */
export const OUTCOMES: readonly Outcome[] = [
  'answered',
  'abandoned',
  'overflowed',
  'closed',
  'blocked',
  'refused',
  'elsewhere',
  'fax',
  'unknown',
];

/** Those that a call to the outside can have. */
export const OUTBOUND_OUTCOMES: readonly Outcome[] = ['answered', 'abandoned', 'blocked', 'unknown'];

/** Which finished calls are asked for. */
export interface Wanted {
  /** A part of the name of the other side, or a telephone number in any writing. */
  q: string;
  /** `outbound`, or nothing for calls from the outside. */
  direction: string;
  account: string;
  operator: string;
  outcome: string;
  /** Days, as the browser writes them: 2026-04-01. */
  from: string;
  to: string;
}

export const ALL: Wanted = { q: '', direction: '', account: '', operator: '', outcome: '', from: '', to: '' };

/** The filter as the daemon takes it. */
export function queryOf(wanted: Wanted): Record<string, string | undefined> {
  const { q, direction, account, operator, outcome, from, to } = wanted;
  return {
    q: q.trim() || undefined,
    direction: direction || undefined,
    account: account || undefined,
    operator: operator || undefined,
    outcome: outcome || undefined,
    from: from ? dayStart(from, 0).toISOString() : undefined,
    to: to ? dayStart(to, 1).toISOString() : undefined,
  };
}

export function belongs(call: PastCall, wanted: Wanted): boolean {
  const at = Date.parse(call.offered_at);
  return (
    (call.direction ?? 'inbound') === (wanted.direction || 'inbound') &&
    isWith(call, wanted.q) &&
    (!wanted.account || call.card?.account.id === wanted.account) &&
    (!wanted.operator || call.operators.includes(wanted.operator)) &&
    (!wanted.outcome || call.outcome === wanted.outcome) &&
    (!wanted.from || at >= dayStart(wanted.from, 0).getTime()) &&
    (!wanted.to || at < dayStart(wanted.to, 1).getTime())
  );
}

/** Whether this person or number is on the other side, as far as the page knows it. */
function isWith({ card }: PastCall, q: string): boolean {
  const text = fold(q);
  if (!text) return true;
  const { number } = card?.caller ?? {};
  const digits = foldNumber(q);
  if (digits && number && hasNumber(number, digits)) return true;
  const names = (card?.customers ?? []).flatMap(({ name, kana, company, department }) => [name, kana, company, department]);
  return names.some((one) => one && fold(one).includes(text));
}

/** The calls to show: those of the daemon's answer to this very question, and those of the page that belong to it. */
export function shownOf(
  here: readonly PastCall[],
  kept: readonly PastCall[],
  wanted: Wanted,
  isAnswer: boolean,
): PastCall[] {
  const answered = new Set(isAnswer ? kept.map((one) => one.id) : []);
  return merged(here, kept).filter((one) => answered.has(one.id) || belongs(one, wanted));
}

/** The beginning of this day, or of one so many days later, where the person is. */
export function dayStart(day: string, later: number): Date {
  const [year = 1970, month = 1, date = 1] = day.split('-').map(Number);
  return new Date(year, month - 1, date + later);
}
