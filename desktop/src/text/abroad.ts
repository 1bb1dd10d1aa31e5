// Numbers of other countries as people write them. Loaded when the first one is shown, and beside the page: it knows
// the numbering plan of every country.

import parse, { type CountryCode } from 'libphonenumber-js/min';

/** (212) 555-0100 at home, +44 20 7946 0123 elsewhere; what is no number stays as it is. */
export function abroad(number: string, home: string): string {
  const parsed = parse(number, home as CountryCode);
  if (!parsed?.isValid()) return number;
  return parsed.country === home ? parsed.formatNational() : parsed.formatInternational();
}
