// A sign-out of which the daemon has not heard yet.
//
// Scripts cannot take the browser's cookie away; the daemon alone can. Invariant: while a sign-out is owed nobody is
// signed in here, whatever the cookie says, also after a reload; it is settled before anybody signs in.

import { ApiError, remove } from '../api/http.ts';

const KEY = 'toritsugi.signed-out';

let owed = false;
let asked: Promise<boolean> | undefined;

export function oweSignOut(): void {
  owed = true;
  try {
    localStorage.setItem(KEY, 'owed');
  } catch {
    // Then this page alone remembers it.
  }
}

export function isSignOutOwed(): boolean {
  try {
    return owed || localStorage.getItem(KEY) !== null;
  } catch {
    return owed;
  }
}

/** Ends the session at the daemon; false when it cannot be reached. */
export function settleSignOut(): Promise<boolean> {
  // A second answer that takes the cookie away could meet the next person's.
  asked ??= ask().finally(() => (asked = undefined));
  return asked;
}

async function ask(): Promise<boolean> {
  try {
    await remove('/v1/session');
  } catch (error) {
    // 401: it is over already.
    if (!(error instanceof ApiError) || error.status !== 401) return false;
  }
  owed = false;
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Nothing was kept.
  }
  return true;
}

/** Tells when somebody signs out in another tab of this browser. */
export function onSignOutElsewhere(tell: () => void): void {
  addEventListener('storage', (event) => {
    if (event.key === KEY && event.newValue !== null) tell();
  });
}
