// What this tab shows of calls that are over, kept over a reload of it: who called, while the after-call work is open,
// is known to nobody but this page when the caller was passed on.
//
// Kept in the tab's own storage, which ends with the tab, for the person who is signed in; it goes when the sign-in does.

import type { CustomerView } from '../api/types.ts';
import type { PastCall } from './state.ts';

const KEY = 'toritsugi.past';
/** Most calls kept. */
const CALLS_MAX = 10;

export interface Remembered {
  past: readonly PastCall[];
  chosen: readonly (readonly [string, CustomerView])[];
}

export function rememberInTab(user: string, { past, chosen }: Remembered): void {
  try {
    const kept = past.slice(0, CALLS_MAX);
    const ids = new Set(kept.map((one) => one.id));
    sessionStorage.setItem(KEY, JSON.stringify({ user, past: kept, chosen: chosen.filter(([call]) => ids.has(call)) }));
  } catch {
    // A browser that keeps nothing, or has no room: then a reload forgets.
  }
}

export function rememberedInTab(user: string): Remembered {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Partial<Remembered> & { user?: string };
    if (kept.user === user) return { past: kept.past ?? [], chosen: kept.chosen ?? [] };
  } catch {
    // Nonsense is nothing.
  }
  return { past: [], chosen: [] };
}

export function forgetInTab(): void {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept.
  }
}
