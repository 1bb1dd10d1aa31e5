// Ends of what is written for others: until when a notice holds, or a contact is away. Pure; times are local.

const MINUTE_MS = 60_000;

/** The ends to choose from, besides a time of one's own. */
export const ENDS = ['today', '1h', '2h', '12:00', '15:00', '18:00', 'tomorrow', 'week'] as const;

/** Those that are still to come at this time. */
export function endsAt(now: number): string[] {
  return ENDS.filter((end) => !end.includes(':') || Date.parse(untilOf(end, now) ?? '') > now);
}

/** The time at which this end comes; nothing: the end of the day, as the daemon has it, or no time at all. */
export function untilOf(end: string, now: number): string | undefined {
  const hours = /^(\d)h$/.exec(end);
  if (hours) return new Date(now + Number(hours[1]) * 60 * MINUTE_MS).toISOString();
  const clock = /^(\d\d):(\d\d)$/.exec(end);
  const at = new Date(now);
  if (clock) return new Date(at.getFullYear(), at.getMonth(), at.getDate(), Number(clock[1]), Number(clock[2])).toISOString();
  const days = end === 'tomorrow' ? 2 : end === 'week' ? 7 : 0;
  if (days) return new Date(at.getFullYear(), at.getMonth(), at.getDate() + days).toISOString();
  const own = end.includes('T') ? new Date(end) : undefined;
  return own && !Number.isNaN(own.getTime()) ? own.toISOString() : undefined;
}
