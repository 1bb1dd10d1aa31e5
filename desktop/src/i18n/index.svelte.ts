// Words in the language that the person chose. A key that a language lacks does not compile.
//
// The page begins with the words of one language (`main.ts`); the others come beside it, so that a change of language
// needs no connection. Until they are there, the words that are there stand in for them.

import { prefs } from '../desk/prefs.svelte.ts';
import type { ja } from './ja.ts';

export type Language = 'ja' | 'en';
export type Key = keyof typeof ja;
type Words = Record<Key, string>;

const LOADS: Record<Language, () => Promise<Words>> = {
  ja: () => import('./ja.ts').then(({ ja }) => ja),
  en: () => import('./en.ts').then(({ en }) => en),
};
export const LANGUAGES = Object.keys(LOADS) as Language[];

let loaded = $state.raw<Partial<Record<Language, Words>>>({});
const words = (): Partial<Words> => loaded[prefs.language] ?? loaded.ja ?? loaded.en ?? {};

/** False where they cannot be loaded now. */
export async function loadWords(language: Language): Promise<boolean> {
  if (loaded[language]) return true;
  const found = await LOADS[language]().catch(() => undefined);
  if (found) loaded = { ...loaded, [language]: found };
  return found !== undefined;
}

/** The words of `key`; `{name}` in them is replaced. Follows a change of language. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return (words()[key] ?? key).replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}

/** The words of `prefix.word`, or the word itself where a newer daemon has one that this page does not know. */
export function word(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in words() ? t(key as Key) : name;
}

/** What it is, and what it says: 伝言：未確認, Message: open. */
export const labelled = (label: string, value: string): string => t('text.labelled', { label, value });

/** Several, as one text: 1001、1002 or 1001, 1002. */
export const listed = (all: readonly string[]): string => all.join(t('text.and'));

/** Text in brackets; nothing for none. */
export const aside = (text: string | null | undefined): string => (text ? t('text.aside', { text }) : '');
