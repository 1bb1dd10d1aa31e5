// What somebody has typed and the daemon does not have yet, kept in this browser until it has: drafts, and messages
// that wait to be saved.
//
// | what happens | then |
// |---|---|
// | a reload, a crash, the end of the sign-in | it is there again when the same person signs in |
// | it is saved, or thrown away by the person | it is gone from here; of a draft, that it is gone is kept until the daemon knows |
// | nobody comes back for it within TYPED_MS_MAX | it is gone from here |
//
// Invariant: a thing is written in the same moment as it changes, under the name of the person who typed it, and read
// for that person alone. Each is one entry, so that two tabs of one browser do not overwrite each other's. The first
// storage is written, all are read: a person who wants nothing kept has the tab's own alone.

const PREFIX = 'toritsugi.typed';
/** How long typed text waits for the person who typed it, in milliseconds: over a long weekend. */
export const TYPED_MS_MAX = 7 * 24 * 3_600_000;

export type Kind = 'draft' | 'message' | 'gone' | 'notice';

interface Entry<T> {
  at: number;
  value: T;
}

/** The part of the browser's `Storage` that is used. */
export type Place = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

export class Shelf {
  constructor(
    private readonly places: () => readonly Place[],
    private readonly now: () => number = Date.now,
  ) {}

  /** False where the browser keeps nothing, or has no room. */
  put(user: string, kind: Kind, id: string, value: unknown): boolean {
    const key = keyOf(user, kind, id);
    const [first, ...others] = this.places();
    try {
      first?.setItem(key, JSON.stringify({ at: this.now(), value }));
      for (const other of others) other.removeItem(key);
      return first !== undefined;
    } catch {
      return false;
    }
  }

  drop(user: string, kind: Kind, id: string): void {
    for (const place of this.places()) remove(place, keyOf(user, kind, id));
  }

  /** What this person has here, by id, the oldest first. */
  all<T>(user: string, kind: Kind): Map<string, T> {
    const prefix = keyOf(user, kind, '');
    const found: [string, Entry<T>][] = [];
    for (const place of this.places()) {
      for (const key of keysOf(place).filter((one) => one.startsWith(`${PREFIX}/`))) {
        const entry = entryOf<T>(place, key);
        if (!entry || this.now() - entry.at > TYPED_MS_MAX) remove(place, key);
        else if (key.startsWith(prefix)) found.push([key.slice(prefix.length), entry]);
      }
    }
    found.sort(([, a], [, b]) => a.at - b.at);
    return new Map(found.map(([id, entry]) => [id, entry.value]));
  }
}

const keyOf = (user: string, kind: Kind, id: string): string => `${PREFIX}/${user}/${kind}/${id}`;

function keysOf(place: Place): string[] {
  try {
    return Array.from({ length: place.length }, (_, index) => place.key(index) ?? '');
  } catch {
    return [];
  }
}

function entryOf<T>(place: Place, key: string): Entry<T> | undefined {
  try {
    const entry = JSON.parse(place.getItem(key) ?? '') as Entry<T>;
    return typeof entry.at === 'number' && entry.value !== undefined ? entry : undefined;
  } catch {
    return undefined;
  }
}

function remove(place: Place, key: string): void {
  try {
    place.removeItem(key);
  } catch {
    // Nothing was kept.
  }
}
