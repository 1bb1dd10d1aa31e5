// Follows the daemon's events, and says honestly how that goes.
//
// | what happens | phase | then |
// |---|---|---|
// | the first frame comes | live | events |
// | the stream breaks, or is silent for SILENCE_MS_MAX | resuming, since then | comes back with the id of the last event |
// | that for OFFLINE_AFTER_MS, or the browser has no network | offline, since then | goes on trying |
// | 401 | signed out | nothing until somebody signs in |
//
// Invariant: an event is handed on once (`seen` knows the latest ids), and the last id is given back as it came.
// A tab that was frozen or asleep does not wait for a time-out: it looks at the clock when it wakes.

import { SseReader } from './sse.ts';
import type { StreamEvent } from './types.ts';

/** The daemon gives a sign of life every 15 s. */
const SILENCE_MS_MAX = 22_000;
const OFFLINE_AFTER_MS = 10_000;
const RETRY_MS = [0, 250, 500, 1_000, 2_000, 3_000];
const SEEN_MAX = 2_048;
const CHECK_EVERY_MS = 2_000;

export type Phase = 'connecting' | 'live' | 'resuming' | 'offline' | 'signed-out';

export interface Link {
  phase: Phase;
  /** Since when, in milliseconds of this machine's clock. */
  since: number;
}

export interface Listener {
  link(link: Link): void;
  events(events: StreamEvent[]): void;
  signedOut(reason: string): void;
}

export class EventStream {
  private lastId = '';
  private seen = new Set<string>();
  private heardAt = 0;
  private brokenAt = 0;
  private tries = 0;
  private stopped = false;
  private current: AbortController | undefined;
  private wake: (() => void) | undefined;
  private phase: Phase = 'connecting';
  private readonly stopListening: () => void;

  constructor(private readonly listener: Listener) {
    const look = () => this.look();
    const offline = () => this.silent();
    const names = ['visibilitychange', 'resume', 'pageshow', 'focus', 'online'];
    for (const name of names) {
      addEventListener(name, look);
      document.addEventListener(name, look);
    }
    addEventListener('offline', offline);
    const timer = setInterval(look, CHECK_EVERY_MS);
    this.stopListening = () => {
      clearInterval(timer);
      removeEventListener('offline', offline);
      for (const name of names) {
        removeEventListener(name, look);
        document.removeEventListener(name, look);
      }
    };
    void this.run();
  }

  stop(): void {
    this.stopped = true;
    this.stopListening();
    this.current?.abort();
    this.wake?.();
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      const reason = await this.follow();
      if (this.stopped) return;
      if (reason) {
        this.stop();
        this.tell('signed-out', Date.now());
        this.listener.signedOut(reason);
        return;
      }
      this.broken();
      const pause = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)] ?? 0;
      this.tries += 1;
      // Many desktops come back at the same time: not in the same millisecond.
      await this.sleep(pause * (0.75 + Math.random() / 2));
    }
  }

  /** Follows one stream to its end; a text when nobody is signed in any more. */
  private async follow(): Promise<string | undefined> {
    const control = new AbortController();
    this.current = control;
    this.heardAt = Date.now();
    try {
      const response = await fetch('/v1/events', {
        headers: this.lastId ? { 'Last-Event-ID': this.lastId } : {},
        credentials: 'same-origin',
        cache: 'no-store',
        signal: control.signal,
      });
      if (response.status === 401) return await reasonOf(response);
      // An id from before a restart of the daemon may be refused: begin without one.
      if (response.status === 400) this.lastId = '';
      if (!response.ok || !response.body) return undefined;
      await this.read(response.body);
    } catch {
      // A broken connection is what the retry is for.
    } finally {
      control.abort();
    }
    return undefined;
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const blocks = new SseReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.heardAt = Date.now();
      const events: StreamEvent[] = [];
      for (const block of blocks.read(decoder.decode(value, { stream: true }))) {
        const event = block.data === undefined ? undefined : eventOf(block.data);
        if (event && this.isNew(event)) events.push(event);
      }
      if (events.length) {
        this.lastId = events.at(-1)?.id ?? this.lastId;
        this.listener.events(events);
        this.tries = 0;
        this.tell('live', Date.now());
      }
    }
  }

  private isNew(event: StreamEvent): boolean {
    if (event.kind.startsWith('stream.')) return true;
    if (this.seen.has(event.id)) return false;
    this.seen.add(event.id);
    if (this.seen.size > SEEN_MAX) {
      for (const oldest of this.seen) {
        this.seen.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** Somebody or something woke the page: is what it shows still true? */
  private look(): void {
    if (this.stopped) return;
    const silent = Date.now() - this.heardAt > SILENCE_MS_MAX;
    if (this.phase === 'live' && silent) this.silent();
    else if (silent) this.current?.abort();
    if (this.phase === 'resuming' && Date.now() - this.brokenAt > OFFLINE_AFTER_MS) {
      this.tell('offline', this.brokenAt);
    }
    if (document.visibilityState === 'visible' && this.phase !== 'live') this.wake?.();
  }

  private silent(): void {
    this.broken();
    this.current?.abort();
  }

  private broken(): void {
    if (this.phase === 'live' || this.phase === 'connecting') {
      this.brokenAt = Date.now();
      this.tell('resuming', this.brokenAt);
    }
    if (!navigator.onLine) this.tell('offline', this.brokenAt);
  }

  private tell(phase: Phase, since: number): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.listener.link({ phase, since });
  }

  private sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      const started = Date.now();
      this.wake = () => {
        // Events of the window come in swarms.
        if (this.stopped || Date.now() - started > 200) {
          clearTimeout(timer);
          resolve();
        }
      };
    });
  }
}

function eventOf(text: string): StreamEvent | undefined {
  try {
    return JSON.parse(text) as StreamEvent;
  } catch {
    return undefined;
  }
}

async function reasonOf(response: Response): Promise<string> {
  const problem = (await response.json().catch(() => ({}))) as { type?: string };
  return problem.type ?? 'not-signed-in';
}
