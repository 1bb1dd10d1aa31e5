// Messages that somebody has written down and the daemon has not confirmed: it, or its database, is away just now.
//
// | state | what happens | then |
// |---|---|---|
// | waiting | the daemon confirms it | gone from here: it stands in the list of all |
// | waiting | no answer, or one that says "not now" | waiting: it is tried again, and those behind it wait |
// | waiting | the daemon refuses it | refused, with the reason; those behind it go on |
// | refused | it is to be tried again | waiting |
// | refused | the person corrects it | gone: it is a draft again, and another message when it is saved |
// | waiting, refused | it is thrown away | gone |
//
// Invariant: each has one key from its first try on, so it is saved once, whatever was lost between; they are tried in
// the order in which they were written, one at a time. `restore` brings back what `changed` reported before a reload.

import { ApiError } from '../api/http.ts';

/** Most that wait here at once. */
export const UNSAVED_MAX = 50;
/** Pause between two tries, in milliseconds. */
const RETRY_MS = 5_000;
/** "Not now": a repeat with the same key may be taken. 0: no answer. */
const PASSING = new Set([0, 401, 408, 425, 429, 500, 502, 503, 504]);

export interface Unsaved<W> {
  readonly key: string;
  /** Who wrote it: nobody else sends or sees it. */
  readonly user: string;
  readonly wanted: W;
  /** When it was written, in milliseconds of the daemon's time. */
  readonly at: number;
  /** Why the daemon refuses it. */
  readonly refusal?: string;
}

export interface Ways<W, S> {
  send: (one: Unsaved<W>) => Promise<S>;
  saved: (record: S, one: Unsaved<W>) => void;
  /** Who is signed in; nothing is sent while nobody is. */
  user: () => string | undefined;
  changed: (all: readonly Unsaved<W>[]) => void;
}

export class Outbox<W, S> {
  private all: readonly Unsaved<W>[] = [];
  private running: Promise<void> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly ways: Ways<W, S>) {}

  /** Tries to save it, behind those that wait already. False: there is no room. */
  add(one: Unsaved<W>): boolean {
    if (this.all.length >= UNSAVED_MAX) return false;
    this.set([...this.all, one]);
    return true;
  }

  find(key: string): Unsaved<W> | undefined {
    return this.all.find((one) => one.key === key);
  }

  /** What was here before a reload; what is here already stays as it is. */
  restore(kept: readonly Unsaved<W>[]): void {
    const known = new Set(this.all.map((one) => one.key));
    const more = kept.filter((one) => !known.has(one.key));
    if (more.length) this.set([...more, ...this.all].sort((a, b) => a.at - b.at));
  }

  discard(key: string): void {
    this.set(this.all.filter((one) => one.key !== key));
  }

  /** A refused one is to be tried again. */
  again(key: string): Promise<void> {
    this.set(this.all.map((one) => (one.key === key ? waiting(one) : one)));
    return this.flush();
  }

  /** Sends what waits; comes back when all is settled or has to wait longer. */
  flush(): Promise<void> {
    this.running ??= Promise.resolve().then(() => this.run());
    return this.running;
  }

  private async run(): Promise<void> {
    clearTimeout(this.timer);
    let goesOn = true;
    for (let one = this.next(); one && goesOn; one = this.next()) goesOn = await this.isSettled(one);
    // In the same step as the last look, so that nothing that is added meanwhile is left behind.
    this.running = undefined;
  }

  private next(): Unsaved<W> | undefined {
    const user = this.ways.user();
    return user ? this.all.find((one) => one.user === user && one.refusal === undefined) : undefined;
  }

  /** Tries it; false where it has to wait. */
  private async isSettled(one: Unsaved<W>): Promise<boolean> {
    try {
      this.ways.saved(await this.ways.send(one), one);
      this.discard(one.key);
    } catch (error) {
      if (isPassing(error)) {
        this.timer = setTimeout(() => void this.flush(), RETRY_MS);
        return false;
      }
      const refusal = error instanceof ApiError ? error.type : 'other';
      this.set(this.all.map((other) => (other.key === one.key ? { ...one, refusal } : other)));
    }
    return true;
  }

  private set(all: readonly Unsaved<W>[]): void {
    this.all = all;
    this.ways.changed(all);
  }
}

function waiting<W>({ key, user, wanted, at }: Unsaved<W>): Unsaved<W> {
  return { key, user, wanted, at };
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  // The first try may still be under way.
  return PASSING.has(error.status) || error.type === 'request-in-progress';
}
