// What administrators change, and how it is undone.
//
// A change names the version that it was made from (`If-Match`). Where somebody changed the record meanwhile, nothing is
// saved, and the form shows both. A change can be undone for ten minutes: the fields go back to what they were, if nobody
// changed the record since. A deletion can be undone as long, by any administrator, also after the page was loaded again.

import { ApiError, get, patchSeen, post, remove, removeSeen } from '../api/http.ts';
import { known, refusal, w } from './words.ts';

export const TABS = [
  'accounts',
  'contacts',
  'customers',
  'numbers',
  'holidays',
  'users',
  'words',
  'data',
  'queues',
  'webhooks',
  'retention',
  'settings',
  'health',
  'audit',
  'start',
] as const;
export type Tab = (typeof TABS)[number];

/** How long a change can be undone. */
const UNDO_MS = 10 * 60_000;
/** Changes that are shown to be undone. */
const UNDO_MAX = 5;
/** Records of one page of a list. */
const PAGE = 500;

/** What the daemon can bring back. */
interface Deletion {
  id: string;
  name: string;
  until: string;
}

export type Fields = Record<string, unknown>;
export interface Versioned extends Fields {
  id: string;
  changed_at: string;
}

interface Undoable {
  key: number;
  /** The record that comes back, of a deletion. */
  record?: string;
  name: string;
  until: number;
  run: () => Promise<void>;
}

class Admin {
  tab = $state<Tab>('accounts');
  /** The record that another area asks to open. */
  wanted = $state('');
  undoable = $state.raw<readonly Undoable[]>([]);
  /** Grows when something was undone: what is open is read again. */
  undone = $state(0);
  /** The record whose creation was undone last. */
  dropped = $state('');
  /** What was done last, or why it was not. */
  said = $state({ text: '', isError: false });
  private key = 0;

  tell(text: string, isError = false): void {
    this.said = { text, isError };
  }

  /** Does it, and says why if that was refused. True when it was done. */
  async attempt(act: () => Promise<unknown>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      this.tell(problemText(error), true);
      return false;
    }
  }

  /** Drops what can no longer be undone. */
  tick(now = Date.now()): void {
    if (this.undoable.some((one) => one.until <= now)) {
      this.undoable = this.undoable.filter((one) => one.until > now);
    }
  }

  offer(name: string, run: () => Promise<void>): void {
    const one = { key: (this.key += 1), name, until: Date.now() + UNDO_MS, run };
    this.undoable = [one, ...this.undoable].slice(0, UNDO_MAX);
  }

  /** Offers to bring back what was deleted, here or elsewhere. */
  async offerDeleted(): Promise<void> {
    const { items } = await get<{ items: Deletion[] }>('/v1/deletions');
    const known = new Set(this.undoable.map((one) => one.record));
    const found = items.filter((one) => !known.has(one.id)).map((one) => ({
      key: (this.key += 1),
      record: one.id,
      name: one.name,
      until: Date.parse(one.until),
      run: async () => {
        await post(`/v1/deletions/${one.id}/undo`);
      },
    }));
    if (found.length) this.undoable = [...found, ...this.undoable].slice(0, UNDO_MAX);
  }

  async undo(one: Undoable): Promise<void> {
    this.undoable = this.undoable.filter((other) => other.key !== one.key);
    if (!(await this.attempt(one.run))) {
      // A deletion can be undone later, for instance once its number is free again.
      if (one.record) await this.offerDeleted().catch(() => undefined);
      return;
    }
    this.undone += 1;
    this.tell(w('undone', { name: one.name }));
  }
}

export const admin = new Admin();

/** What a refusal says, in words. */
export function problemText(error: unknown): string {
  if (!(error instanceof ApiError)) return String(error);
  const detail = refusal(error.detail);
  return known('problem', error.type, { detail }) ?? w('problem.other', { detail: detail || error.type });
}

/** Every record of a list. */
export async function all<T>(path: string, query: Record<string, string> = {}): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const page: { items: T[]; next?: string | null } = await get(path, { ...query, limit: PAGE, cursor });
    items.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor);
  return items;
}

/** The fields of `wanted` that differ from those of `record`. */
export function differing(record: Fields, wanted: Fields): Fields {
  const same = (a: unknown, b: unknown) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
  return Object.fromEntries(Object.entries(wanted).filter(([field, value]) => !same(record[field], value)));
}

/** Changes a record from the version that `record` is, and offers to undo it. */
export async function change<T extends Versioned>(path: string, record: T, patch: Fields, name: string): Promise<T> {
  const changed = await patched<T>(path, record, patch);
  const back = Object.fromEntries(Object.keys(patch).map((field) => [field, record[field] ?? null]));
  admin.offer(name, async () => {
    await patched(path, changed, back);
  });
  admin.tell(w('saved', { name }));
  return changed;
}

/** Deletes a record, and offers to bring it back where the daemon can. */
export async function drop(path: string, record: { id: string }, name: string): Promise<void> {
  await remove(`${path}/${record.id}`);
  admin.tell(w('deleted', { name }));
  await admin.offerDeleted().catch(() => undefined);
}

/** Creates a record, and offers to undo that while nobody has changed it. */
export async function create<T extends Versioned>(path: string, wanted: Fields, nameOf: (record: T) => string): Promise<T> {
  const fields = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined && value !== null && value !== ''));
  const made = await post<T>(path, fields);
  admin.offer(nameOf(made), async () => {
    await removeSeen(`${path}/${made.id}`, made.changed_at);
    admin.dropped = made.id;
  });
  admin.tell(w('saved', { name: nameOf(made) }));
  return made;
}

const patched = <T extends Versioned>(path: string, record: Versioned, patch: Fields): Promise<T> =>
  patchSeen<T>(`${path}/${record.id}`, patch, record.changed_at);

/** The account that has a number already, where a change was refused because of it. */
export function ownerOf(error: unknown): Versioned | undefined {
  if (!(error instanceof ApiError) || error.type !== 'value-taken') return undefined;
  return error.problem.record as Versioned | undefined;
}

/** The record as it is, where a change was refused because somebody changed it. */
export function meanwhile(error: unknown): Versioned | undefined {
  if (!(error instanceof ApiError) || error.type !== 'record-changed') return undefined;
  return error.problem.record as Versioned | undefined;
}
