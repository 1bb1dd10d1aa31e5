// How many messages a person must see to: for supervisors and administrators, whatever they look at.
//
// Invariant: the counts are what the daemon said last. Changes of messages ask for them again, one request in so much time.

import { get } from '../api/http.ts';
import type { MessageCounts } from '../api/types.ts';
import { desk } from './desk.svelte.ts';

/** So long after a request nothing is asked for, in milliseconds. */
const PAUSE_MS = 2_000;

class SeeTo {
  counts = $state.raw<MessageCounts | undefined>();
  /** Those that will not reach the account by themselves. */
  most = $derived(this.counts ? this.counts.failed + this.counts.unrouted + this.counts.unanswered : 0);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStale = false;

  /** To be called once, while the page lives. */
  follow(): void {
    const role = $derived(desk.session?.role);
    $effect(() => {
      void desk.messageChanges;
      if (desk.live && (role === 'supervisor' || role === 'admin')) this.ask();
      else if (!role || role === 'operator') this.counts = undefined;
    });
  }

  private ask(): void {
    this.isStale = true;
    if (this.timer !== undefined) return;
    this.isStale = false;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.isStale) this.ask();
    }, PAUSE_MS);
    const user = desk.session?.user;
    get<MessageCounts>('/v1/messages/attention').then(
      (counts) => {
        if (desk.session?.user === user) this.counts = counts;
      },
      () => undefined,
    );
  }
}

export const seeTo = new SeeTo();
