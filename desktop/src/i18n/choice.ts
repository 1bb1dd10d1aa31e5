// What the installation calls a choice (a reason, a result), in the language that is chosen.

import { prefs } from '../desk/prefs.svelte.ts';

interface Choice {
  code: string;
  label: string;
  label_en?: string | null;
}

export const labelOf = (one: Choice): string => (prefs.language === 'en' && one.label_en) || one.label;

/** Of the one with this code; the code itself where there is none. */
export function labelAt(all: readonly Choice[] | undefined, code: string | null | undefined): string {
  const one = all?.find((choice) => choice.code === code);
  return one ? labelOf(one) : (code ?? '');
}
