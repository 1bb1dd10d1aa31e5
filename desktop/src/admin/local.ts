// Times in forms: an instant on the wire, the time of this machine's zone in a field. Pure.

/** The instant of the text of a field; `null` where it is empty. */
export function instant(text: string): string | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : new Date(ms).toISOString();
}

/** The text of a field for an instant. */
export function localTime(at: unknown): string {
  const ms = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(ms)) return '';
  const time = new Date(ms);
  const two = (number: number) => String(number).padStart(2, '0');
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}`;
}
