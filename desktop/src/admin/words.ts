// The words of the administration, which come with it alone: the first load of the page has none of them.

import { prefs } from '../desk/prefs.svelte.ts';
import { inJapanese } from './refusals.ts';
import { en, ja } from './wordList.ts';

const WORDS = { ja, en };

export type Word = keyof typeof ja;

/** The words of `key`; `{name}` in them is replaced. Follows a change of language. */
export function w(key: Word, values: Record<string, string | number> = {}): string {
  return WORDS[prefs.language][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}

/** The words of `prefix.name`, or the name where a newer daemon has one that this page does not know. */
export function known(prefix: string, name: string, values: Record<string, string | number> = {}): string | undefined {
  const key = `${prefix}.${name}`;
  return key in ja ? w(key as Word, values) : undefined;
}

/** What the daemon says about a field, a row or a file, in the language of the page. */
export function refusal(text: string): string {
  return prefs.language === 'ja' ? inJapanese(text, (field) => known('field', field)) : text;
}
