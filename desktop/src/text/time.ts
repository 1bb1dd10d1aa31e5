// Times as people read them.

/** 0:07, 12:34, 1:02:03. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function clock(milliseconds: number, language: string): string {
  return new Intl.DateTimeFormat(language, { hour: '2-digit', minute: '2-digit', hour12: false }).format(milliseconds);
}

/** The day and the time; the day alone says "today" by its absence. */
export function dayAndTime(text: string, now: number, language: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return '';
  const same = at.toDateString() === new Date(now).toDateString();
  const day = same ? {} : ({ month: 'numeric', day: 'numeric', weekday: 'short' } as const);
  const year = at.getFullYear() === new Date(now).getFullYear() ? {} : ({ year: 'numeric' } as const);
  return new Intl.DateTimeFormat(language, {
    ...year,
    ...day,
    hour: '2-digit',
    minute: '2-digit',
    hour12: false,
  }).format(at);
}
