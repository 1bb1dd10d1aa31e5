// Who calls, in words.

import type { CallerView } from '../api/types.ts';
import { t, type Key } from '../i18n/index.svelte.ts';
import { asWritten } from './written.svelte.ts';

/** The number as people write it, or why there is none. */
export function callerText(caller: CallerView): string {
  if (caller.number) return asWritten(caller.number);
  return caller.presentation === 'allowed' ? t('caller.unknown') : t(`caller.${caller.presentation}` as Key);
}
