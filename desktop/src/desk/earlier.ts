// The earlier calls of a caller as they are listed: callers who gave up again and again are one line. Pure.

import type { Finished } from '../api/types.ts';

/** So long between two of them, and they stand apart, in milliseconds. */
const APART_MS = 24 * 3_600_000;

const isGivenUp = (one: Finished): boolean => one.outcome === 'abandoned' && !(one.wrap_ups ?? []).some((work) => work.disposition || work.notes);

/** Calls that were given up one after the other are one, the latest, with their count. Newest first, as `calls`. */
export function folded(calls: readonly Finished[]): { call: Finished; times: number }[] {
  const all: { call: Finished; times: number }[] = [];
  let before: Finished | undefined;
  for (const call of calls) {
    const last = all.at(-1);
    const isNear = before && Date.parse(before.offered_at) - Date.parse(call.offered_at) < APART_MS;
    if (last && before && isGivenUp(before) && isGivenUp(call) && isNear) last.times += 1;
    else all.push({ call, times: 1 });
    before = call;
  }
  return all;
}
