// To whom a transfer goes, in words.

import type { Transfer } from '../api/types.ts';

export function targetText(transfer: Transfer): string {
  const last = transfer.attempts.at(-1)?.target ?? transfer.targets[0];
  if (!last) return '';
  switch (last.kind) {
    case 'contact':
      return last.name;
    case 'number':
      return last.number;
    case 'operator':
      return last.extension;
    default:
      return last.queue;
  }
}
