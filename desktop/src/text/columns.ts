// How wide a line is on a telephone: a full-width character takes two columns. Pure.

/** A line of a mail that a telephone of the usual width shows without a break. */
export const PHONE_COLUMNS = 38;

/** Latin letters, and half-width kana. */
const isNarrow = (code: number): boolean => code < 0x1100 || (code >= 0xff61 && code <= 0xff9f);

export const columnsOf = (line: string): number =>
  [...line].reduce((sum, char) => sum + (isNarrow(char.codePointAt(0) ?? 0) ? 1 : 2), 0);
