// The drafts that the daemon keeps for the person who writes them, besides this browser (`shelf.ts`): another desk has
// them after this one broke.
//
// | what happens | then |
// |---|---|
// | nothing is typed for SAVE_MS | the draft is written over the version that this page knows |
// | the daemon has another version (409) | that one is kept beside this one, and this one is written over it |
// | the daemon cannot be reached | it is written when the page is connected again |
// | the draft is empty, saved or thrown away | it is deleted there too; until it is, this browser remembers that it is gone |
// | the page is hidden or closed | it is written at once, by a request that outlives the page |
//
// Invariant: one request for each draft at a time; what was typed meanwhile follows. What the daemon has is deleted only
// where somebody here emptied, saved or threw away that very text. Pure but for its timers; the requests
// are given to it.

/** So long after the last key a draft is written, in milliseconds. */
export const SAVE_MS = 1_000;

/** A draft as the daemon has it. */
export interface Stored<T> {
  call: string;
  body: T;
  version: number;
}

/** What the daemon answered to a write. */
export type Answer<T> =
  | { kind: 'written'; version: number }
  /** `current` is absent if the daemon has no draft any more. */
  | { kind: 'changed'; current: Stored<T> | undefined }
  /** It cannot be written now. */
  | { kind: 'later' }
  /** It is never written. */
  | { kind: 'refused' };

export interface Requests<T> {
  write: (call: string, body: T, version: number, outlives: boolean) => Promise<Answer<T>>;
  /** False where it has to be repeated. */
  remove: (call: string) => Promise<boolean>;
  /** Another desk wrote this meanwhile. */
  keepOther: (other: Stored<T>) => void;
  /** The daemon has this version. */
  stored: (call: string, version: number) => void;
  /** The draft is gone here, and the daemon may still have it; nothing: it has not, or the draft is there again. */
  gone: (call: string, what: Gone | undefined) => void;
}

/** A draft that is gone here, as the daemon may still have it: as JSON. */
export interface Gone {
  has: string;
  sent: string;
}

interface Entry<T> {
  /** What the daemon shall have; nothing: no draft. */
  wanted: T | undefined;
  /** Whether that was decided here. */
  isOwn: boolean;
  /** What it has, as far as this page knows, as JSON. */
  has: string;
  /** What was written last, also where no answer came. */
  sent: string;
  version: number;
  timer: ReturnType<typeof setTimeout> | undefined;
  isBusy: boolean;
}

const ID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

export class ServerDrafts<T> {
  private entries = new Map<string, Entry<T>>();

  constructor(private readonly requests: Requests<T>) {}

  /** The daemon has this one. */
  known({ call, body, version }: Stored<T>): void {
    const entry = this.entry(call, version);
    entry.version = version;
    entry.has = JSON.stringify(body);
    if (!entry.wanted) entry.isOwn = false;
  }

  /** This was emptied, saved or thrown away here, and the daemon was not reached. */
  restore(call: string, { has, sent }: Gone): void {
    Object.assign(this.entry(call, 0), { has, sent, isOwn: true });
  }

  /** Whether this is what is gone here. */
  isGone(call: string, body: T): boolean {
    const entry = this.entries.get(call);
    return Boolean(entry?.isOwn && !entry.wanted && [entry.has, entry.sent].includes(JSON.stringify(body)));
  }

  /** This is written now, over what was version `version` at the daemon; nothing: it is saved or thrown away. */
  changed(call: string, body: T | undefined, version = 0): void {
    if (!ID.test(call) || (!body && !this.entries.has(call))) return;
    const entry = this.entry(call, version);
    if (body ? JSON.stringify(body) === JSON.stringify(entry.wanted ?? null) : !entry.wanted && !entry.has) return;
    if (body) this.requests.gone(call, undefined);
    else if (entry.has || entry.sent) this.requests.gone(call, { has: entry.has, sent: entry.sent });
    entry.wanted = body;
    entry.isOwn = true;
    clearTimeout(entry.timer);
    entry.timer = setTimeout(() => void this.send(call), body ? SAVE_MS : 0);
  }

  /** Sends at once what waits: the page is connected, or, with `outlives`, is about to go. */
  flush(outlives = false): void {
    for (const call of this.entries.keys()) void this.send(call, outlives);
  }

  /** Another person sits here. */
  forget(): void {
    for (const { timer } of this.entries.values()) clearTimeout(timer);
    this.entries.clear();
  }

  private entry(call: string, version: number): Entry<T> {
    const known = this.entries.get(call);
    if (known) return known;
    const entry: Entry<T> = { wanted: undefined, isOwn: false, has: '', sent: '', version, timer: undefined, isBusy: false };
    this.entries.set(call, entry);
    return entry;
  }

  private async send(call: string, outlives = false): Promise<void> {
    const entry = this.entries.get(call);
    if (!entry?.isOwn || entry.isBusy) return;
    clearTimeout(entry.timer);
    const text = entry.wanted ? JSON.stringify(entry.wanted) : '';
    if (text === entry.has && (text || !entry.sent)) return;
    entry.isBusy = true;
    const isDone = await (entry.wanted ? this.write(call, entry, entry.wanted, text, outlives) : this.remove(call, entry));
    entry.isBusy = false;
    // What was typed meanwhile.
    if (isDone && this.entries.get(call) === entry) await this.send(call);
  }

  /** False where the daemon does not answer; then the next flush tries again. */
  private async write(call: string, entry: Entry<T>, body: T, text: string, outlives: boolean): Promise<boolean> {
    entry.sent = text;
    const answer = await this.requests.write(call, body, entry.version, outlives);
    if (this.entries.get(call) !== entry) return false;
    if (answer.kind === 'later') return false;
    if (answer.kind === 'written') {
      [entry.version, entry.has] = [answer.version, text];
      this.requests.stored(call, answer.version);
    } else if (answer.kind === 'changed') {
      const other = answer.current;
      if (other && JSON.stringify(other.body) !== entry.has) this.requests.keepOther(other);
      [entry.version, entry.has] = [other?.version ?? 0, other ? JSON.stringify(other.body) : ''];
    } else {
      entry.has = text;
    }
    return true;
  }

  private async remove(call: string, entry: Entry<T>): Promise<boolean> {
    if (!(await this.requests.remove(call)) || this.entries.get(call) !== entry) return false;
    [entry.version, entry.has, entry.sent] = [0, '', ''];
    if (!entry.wanted) this.requests.gone(call, undefined);
    return true;
  }
}
