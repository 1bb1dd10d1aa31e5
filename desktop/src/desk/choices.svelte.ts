// Words that administrators decide: results, reasons, flags of customers.

import { get } from '../api/http.ts';
import { prefs } from './prefs.svelte.ts';

export type Tone = 'plain' | 'good' | 'warn' | 'bad';
export const TONES: readonly Tone[] = ['plain', 'good', 'warn', 'bad'];

export interface ChoiceWord {
  code: string;
  label: string;
  label_en?: string | null;
  tone?: Tone;
  retired?: boolean;
  /** Of a disposition: a call that ends with it needs no message. */
  no_message?: boolean | null;
}
export interface WordList {
  kind: string;
  version: number;
  words: ChoiceWord[];
}

/** How long words are shown before the daemon is asked again. */
const KEPT_MS = 5 * 60_000;

class Choices {
  lists = $state.raw<readonly WordList[]>([]);
  private askedAt = Number.NEGATIVE_INFINITY;

  async load(): Promise<void> {
    this.askedAt = Date.now();
    this.lists = (await get<{ items: WordList[] }>('/v1/words')).items;
  }

  /** For who shows a word: it is there soon, and the code until then. */
  want(): void {
    if (Date.now() - this.askedAt > KEPT_MS) void this.load().catch(() => undefined);
  }
}

export const choices = new Choices();

const flagOf = (code: string) => choices.lists.find((list) => list.kind === 'flag')?.words.find((word) => word.code === code);

/** What people read for a flag: its word, or the code where it has none. */
export function flagLabel(code: string): string {
  const flag = flagOf(code);
  return (prefs.language === 'en' ? flag?.label_en : undefined) ?? flag?.label ?? code;
}

const CLASSES: Readonly<Record<Tone, string>> = { plain: '', good: 'good', warn: 'ring', bad: 'bad' };

/** The class of its colour. A flag that nobody decided about is seen. */
export const flagClass = (code: string): string => CLASSES[flagOf(code)?.tone ?? (choices.lists.length ? 'bad' : 'plain')];
