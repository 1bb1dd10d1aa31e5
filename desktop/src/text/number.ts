// Japanese telephone numbers as people write them. Callers' numbers come so from the daemon; this is for those that
// are kept or dialled: keys (+81355501001), and digits as somebody typed them.
//
// Where the area code ends is the number library's knowledge: `areas.ts` is made from it by a test of the daemon.
// Why not the browser's library (abroad.ts) for all: it is as large as the rest of the page, and a Japanese desk
// shall not wait for it.

import { AREA_CODE_DIGITS, AREA_CODES } from './areas.ts';

const GROUPS: readonly (readonly [RegExp, readonly number[]])[] = [
  [/^0800\d{7}$/, [4, 3, 4]],
  [/^0[6789]0\d{8}$/, [3, 4, 4]],
  [/^050\d{8}$/, [3, 4, 4]],
  [/^0(?:120|570|990)\d{6}$/, [4, 3, 3]],
];
const FIXED = /^0[1-9]\d{8}$/;
const LAST_DIGITS = 4;
/** What may stand between digits. */
const SEPARATORS = /[\s‐‑–—ー()-]/g;
/** Fewer digits are an extension or a service's number. */
const SUBSCRIBER_DIGITS_MIN = 7;

/** 03-1234-5678, 090-1234-5678, 0120-123-456; nothing for what is no Japanese number. */
export function inJapan(number: string): string | undefined {
  const digits = number.replace(/^\+81/, '0').replace(SEPARATORS, '');
  for (const [shape, groups] of GROUPS) if (shape.test(digits)) return grouped(digits, groups);
  if (!FIXED.test(digits)) return undefined;
  const area = areaDigits(digits);
  return grouped(digits, [area, digits.length - LAST_DIGITS - area, LAST_DIGITS]);
}

/** Whether it can be a subscriber's number of any country. */
export function mayBeAbroad(number: string): boolean {
  const digits = number.replace(SEPARATORS, '');
  return /^\+?\d+$/.test(digits) && digits.length >= SUBSCRIBER_DIGITS_MIN;
}

function grouped(digits: string, lengths: readonly number[]): string {
  let at = 0;
  return lengths.map((length) => digits.slice(at, (at += length))).join('-');
}

/** How long the area code is, with its leading zero: the longest beginning that is known decides. */
function areaDigits(digits: string): number {
  for (let end = digits.length - LAST_DIGITS; end > 1; end -= 1) {
    const known = DIGITS.get(digits.slice(1, end));
    if (known) return known;
  }
  return AREA_CODE_DIGITS;
}

const DIGITS = new Map(
  Object.entries(AREA_CODES).flatMap(([count, beginnings]) =>
    beginnings.split(' ').map((one) => [one, Number(count)] as const),
  ),
);
