// The latest finished calls: those of this page, which know most, and those that the daemon keeps, so that a reload
// forgets nothing.

import { get } from '../api/http.ts';
import type { Finished, History } from '../api/types.ts';
import { desk } from './desk.svelte.ts';
import { asPast, merged } from './history.ts';
import type { PastCall } from './state.ts';
import { rememberInTab } from './tab.ts';

const LATEST = 20;

class Recent {
  private kept = $state.raw<readonly PastCall[]>([]);
  private asked = new Set<string>();

  calls = $derived(merged(desk.state.past, this.kept));

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

  /** To be called once, while the page lives. */
  follow(): void {
    const user = $derived(desk.session?.user);
    const newest = $derived(desk.state.past[0]?.id);
    $effect.pre(() => {
      void user;
      this.kept = [];
      this.asked.clear();
    });
    $effect(() => {
      void newest;
      if (!user || !desk.live) return;
      get<History>('/v1/history', { limit: LATEST }).then(
        (page) => (this.kept = merged(page.items.map(asPast), this.kept)),
        () => undefined,
      );
    });
    $effect(() => {
      if (user) rememberInTab(user, { past: desk.state.past, chosen: [...desk.chosen] });
    });
  }
}

export const recent = new Recent();
