// What an operator says first, and whether lines of a text end where phrases do: browsers look for phrases at each layout, and a text of 10,000
// characters would hold the page up for seconds.

import type { Card } from '../api/types.ts';
import { t } from '../i18n/index.svelte.ts';
import { phraseOf } from '../text/phrase.ts';

const PHRASES_CHARS_MAX = 300;

export const hasPhrases = (text: string): boolean => text.length <= PHRASES_CHARS_MAX;

/** What is said first: of the script or the account; for a number that belongs to no account, words without a name. */
export const firstWords = (card: Card | null | undefined, operator: string): string =>
  phraseOf(card, operator) || (card && !card.account.id ? t('pop.unknown_phrase') : '');
