// To whom a transfer goes, in words.

import type { Transfer } from '../api/types.ts';
import type { Draft } from '../desk/drafts.svelte.ts';
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

/** The message in place of a transfer that failed: for its target, who calls back. */
export function insteadOf(transfer: Transfer): Partial<Draft> {
  const { id, outcome } = transfer;
  const first = transfer.targets.find((one) => one.kind === 'contact');
  return {
    contact: first?.kind === 'contact' ? first.id : '',
    action: 'call_back',
    text: t('message.instead', { outcome: outcome ? word('outcome', outcome) : '' }),
    transfer: id,
    transfer_outcome: outcome ?? '',
  };
}

/** To whom it went, and what came of it. */
export function transferText(transfer: Transfer): string {
  const to = t('transfer.to', { target: targetText(transfer) });
  return transfer.outcome ? t('transfer.ended', { to, outcome: word('outcome', transfer.outcome) }) : to;
}
