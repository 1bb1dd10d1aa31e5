// The words of callflows in the language that the person chose.
import { prefs } from '../desk/prefs.svelte.ts';
import type { Language } from '../i18n/index.svelte.ts';
import { en, ja, type Word } from './callflowWords.ts';

const WORDS: Record<Language, Record<Word, string>> = { ja, en };

/** The words of `name`; `{value}` in them is replaced. Follows a change of language. */
export function say(name: Word, values: Record<string, string | number> = {}): string {
  return WORDS[prefs.language][name].replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? ''));
}

/** The words of `prefix.name`, or the name itself where a newer daemon has one that this page does not know. */
export function called(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in ja ? say(key as Word) : name;
}
