// What the operator says first.

import type { Card } from '../api/types.ts';

/** The opening of the call's script in the name of this operator, else the account's answer phrase. */
export function phraseOf(card: Pick<Card, 'account' | 'script'> | null | undefined, operator: string): string {
  const opening = card?.script?.opening;
  return opening ? opening.replaceAll('{operator}', () => operator) : (card?.account.answer_phrase ?? '');
}
