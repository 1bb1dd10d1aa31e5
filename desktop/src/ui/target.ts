// To whom a transfer goes, in words.

import type { Transfer } from '../api/types.ts';
import { t, word } from '../i18n/index.svelte.ts';
import { asWritten } from '../text/written.svelte.ts';

export function targetText(transfer: Transfer): string {
  const last = transfer.attempts.at(-1)?.target ?? transfer.targets[0];
  if (!last) return '';
  switch (last.kind) {
    case 'contact':
      return last.name;
    case 'number':
      return asWritten(last.number);
    case 'operator':
      return last.extension;
    default:
      return last.queue;
  }
}

/** To whom it went, and what came of it. */
export function transferText(transfer: Transfer): string {
  const to = t('transfer.to', { target: targetText(transfer) });
  return transfer.outcome ? t('transfer.ended', { to, outcome: word('outcome', transfer.outcome) }) : to;
}
