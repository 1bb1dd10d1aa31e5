// Words in the language that the person chose. A key that a language lacks does not compile.

import { prefs } from '../desk/prefs.svelte.ts';
import { en } from './en.ts';
import { ja } from './ja.ts';

export type Language = 'ja' | 'en';
export type Key = keyof typeof ja;

const WORDS: Record<Language, Record<Key, string>> = { ja, en };

/** The words of `key`; `{name}` in them is replaced. Follows a change of language. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return WORDS[prefs.language][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}

/** The words of `prefix.word`, or the word itself where a newer daemon has one that this page does not know. */
export function word(prefix: string, name: string): string {
  const key = `${prefix}.${name}`;
  return key in ja ? t(key as Key) : name;
}

/** What it is, and what it says: 伝言：未確認, Message: open. */
export const labelled = (label: string, value: string): string => t('text.labelled', { label, value });

/** Several, as one text: 1001、1002 or 1001, 1002. */
export const listed = (all: readonly string[]): string => all.join(t('text.and'));

/** Text in brackets; nothing for none. */
export const aside = (text: string | null | undefined): string => (text ? t('text.aside', { text }) : '');
