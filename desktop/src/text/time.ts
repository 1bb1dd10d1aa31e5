// Times as people read them.

/** 0:07, 12:34, 1:02:03. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const TIME = { hour: '2-digit', minute: '2-digit', hour12: false } as const;
const DAY = { month: 'numeric', day: 'numeric', weekday: 'short' } as const;
const YEAR = { year: 'numeric' } as const;
const formats = new Map<string, Intl.DateTimeFormat>();

/** To make a format takes as long as to format a hundred times: each is made once. */
function formatOf(language: string, hasDay: boolean, hasYear: boolean): Intl.DateTimeFormat {
  const key = `${language} ${hasDay} ${hasYear}`;
  const known = formats.get(key);
  if (known) return known;
  const made = new Intl.DateTimeFormat(language, { ...(hasYear ? YEAR : {}), ...(hasDay ? DAY : {}), ...TIME });
  formats.set(key, made);
  return made;
}

export function clock(milliseconds: number, language: string): string {
  return formatOf(language, false, false).format(milliseconds);
}

/** The beginning of the day of this time, where the person is. */
export const dayOf = (milliseconds: number): number => new Date(milliseconds).setHours(0, 0, 0, 0);

/** The day and the time; the day alone says "today" by its absence. `now`: any time of today. */
export function dayAndTime(text: string, now: number, language: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return '';
  const isToday = dayOf(at.getTime()) === dayOf(now);
  return formatOf(language, !isToday, at.getFullYear() !== new Date(now).getFullYear()).format(at);
}
