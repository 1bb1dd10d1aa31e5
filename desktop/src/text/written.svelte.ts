// Telephone numbers as people of the installation's country write them.
//
// Until the knowledge of other countries is there their numbers are shown as they came.

import { inJapan, mayBeAbroad } from './number.ts';

const JAPAN = 'JP';

let home = $state(JAPAN);
let abroad = $state.raw<((number: string, home: string) => string) | undefined>();
let isAsked = false;

/** The daemon says whose national numbers are meant (ISO 3166). */
export function writeAsIn(country: string | undefined): void {
  home = country ?? JAPAN;
}

/** 03-1234-5678 in Japan, (212) 555-0100 in the United States, +44 20 7946 0123 for a number from elsewhere. */
export function asWritten(number: string | null | undefined): string {
  if (!number) return '';
  const japanese = home === JAPAN ? inJapan(number) : undefined;
  if (japanese) return japanese;
  if (!mayBeAbroad(number)) return number;
  if (!abroad) ask();
  return abroad?.(number, home) ?? number;
}

function ask(): void {
  if (isAsked) return;
  isAsked = true;
  import('./abroad.ts').then(
    (loaded) => (abroad = loaded.abroad),
    // Without a connection: the next number asks again.
    () => (isAsked = false),
  );
}
