// What a row of people's work says to people: how many calls, and how long each part of the work was. Pure.
//
// Invariant: a figure that does not exist (0/0) is not a number; the words are the daemon's (`docs/statistics.md`).

import type { StatsRow } from '../api/types.ts';

/** The work of a person, or of a team together. */
export interface Work {
  key: string;
  name: string;
  /** Parts: times with a caller. */
  parts: number;
  talk: number;
  hold: number;
  wrapUp: number;
  /** Mean of talk, hold and wrap-up of a part, in milliseconds. */
  handling: number | undefined;
  transfers: number;
  occupancy: number | undefined;
}

export function workOf(row: StatsRow, unknown: string): Work {
  const { parts = 0, talk_ms: talk = 0, hold_ms: hold = 0, wrap_ms: wrapUp = 0, transfers_tried: transfers = 0 } = row.counters;
  return {
    key: row.key ?? '',
    name: row.name ?? row.key ?? unknown,
    parts,
    talk,
    hold,
    wrapUp,
    handling: row.figures['AHT'] ?? undefined,
    transfers,
    occupancy: row.figures['OCC'] ?? undefined,
  };
}

/** Those who had a caller or after-call work, the busiest first. */
export function worked(rows: readonly Work[]): Work[] {
  return rows
    .filter((row) => row.parts || row.wrapUp)
    .sort((a, b) => b.parts - a.parts || b.talk - a.talk || a.name.localeCompare(b.name));
}
