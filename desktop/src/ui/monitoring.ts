// Whether a call may be monitored, as far as the page knows: the daemon decides.

import { desk } from '../desk/desk.svelte.ts';
import type { Call } from '../desk/state.ts';

/** Calls of this account are monitored by nobody. */
export function isNeverMonitored(call: Pick<Call, 'card'> | undefined): boolean {
  return Boolean(desk.accounts.get(call?.card?.account.id ?? '')?.never_monitor);
}
