// What stays readable after a reload without a connection: accounts with what to say for them, and their contacts.
//
// Kept in this browser for the person who is signed in, and for nobody else: it goes when that person signs out or is
// signed out, when somebody else signs in, when the sign-in would have ended, and when the person turns it off.
// Customers, callers and calls are never kept here; `tab.ts` has the latest calls over a reload of the tab, `shelf.ts`
// what was typed. A reader of this browser's profile could read it meanwhile, as the person reads the page itself.

import type { Account, Contact, OperatorOptions, SessionView } from '../api/types.ts';

const DATABASE = 'toritsugi';
const STORE = 'kept';
const KEY = 'records';
/** Where the sign-in has no end of its own. */
const KEPT_MS_MAX = 12 * 3_600_000;

export interface Kept {
  session: SessionView;
  accounts: Account[];
  contacts: Contact[];
  options: OperatorOptions | undefined;
  /** When they were loaded, in milliseconds of this machine's clock. */
  at: number;
}

export async function writeKept(kept: Kept): Promise<void> {
  await inStore('readwrite', (store) => store.put(kept, KEY));
}

/** What was kept, if it is still somebody's. */
export async function readKept(): Promise<Kept | undefined> {
  const kept = (await inStore('readonly', (store) => store.get(KEY))) as Kept | undefined;
  if (!kept) return undefined;
  const end = kept.session.expires_at ? Date.parse(kept.session.expires_at) : kept.at + KEPT_MS_MAX;
  if (Date.now() < Math.min(end, kept.at + KEPT_MS_MAX)) return kept;
  await forgetKept();
  return undefined;
}

export async function forgetKept(): Promise<void> {
  await inStore('readwrite', (store) => store.delete(KEY));
}

/** A browser that keeps nothing has nothing kept. */
function inStore(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
  return new Promise((resolve) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => resolve(undefined);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction(STORE, mode);
      const asked = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => {
        database.close();
        resolve(asked.result);
      };
      transaction.onerror = transaction.onabort = () => {
        database.close();
        resolve(undefined);
      };
    };
  });
}
