// The latest finished calls: those of this page, which know most, and those that the daemon keeps, so that a reload
// forgets nothing.

import { get } from '../api/http.ts';
import type { Finished, History } from '../api/types.ts';
import { desk } from './desk.svelte.ts';
import { asPast, merged } from './history.ts';
import type { PastCall } from './state.ts';
import { rememberInTab } from './tab.ts';

const LATEST = 20;
/** So long after a request nothing is asked for, in milliseconds. */
const PAUSE_MS = 2_000;
/** What changed is kept in the tab after this time, in milliseconds, and before the page is left. */
const KEEP_MS = 500;

class Recent {
  private kept = $state.raw<readonly PastCall[]>([]);
  private asked = new Set<string>();

  private askedAt = -Infinity;

  calls = $derived(merged(desk.past, this.kept));

  find(call: string): PastCall | undefined {
    return this.calls.find((one) => one.id === call);
  }

  /** Asks the daemon for a call that this page does not know; a call that is not over stays unknown. */
  ask(call: string): void {
    if (!desk.live || this.asked.has(call) || this.find(call)) return;
    this.asked.add(call);
    get<Finished>(`/v1/history/${call}`).then(
      (one) => (this.kept = [...this.kept, asPast(one)]),
      () => undefined,
    );
  }

  private askLatest(): void {
    this.askedAt = performance.now();
    get<History>('/v1/history', { limit: LATEST }).then(
      (page) => (this.kept = merged(page.items.map(asPast), this.kept)),
      () => undefined,
    );
  }

  /** To be called once, while the page lives. */
  follow(): void {
    const user = $derived(desk.session?.user);
    const newest = $derived(desk.past[0]?.id);
    $effect.pre(() => {
      void user;
      this.kept = [];
      this.asked.clear();
      this.askedAt = -Infinity;
    });
    $effect(() => {
      void newest;
      if (!user || !desk.live) return undefined;
      // At once, and on a busy floor every two seconds.
      const timer = setTimeout(() => this.askLatest(), Math.max(0, this.askedAt + PAUSE_MS - performance.now()));
      return () => clearTimeout(timer);
    });
    $effect(() => {
      if (!user) return undefined;
      const [past, chosen] = [desk.past, [...desk.chosen]];
      const keep = () => rememberInTab(user, { past, chosen });
      const timer = setTimeout(keep, KEEP_MS);
      addEventListener('pagehide', keep);
      return () => {
        clearTimeout(timer);
        removeEventListener('pagehide', keep);
      };
    });
  }
}

export const recent = new Recent();
