// What holds for accounts until a given time (本日の連絡事項), and what somebody here is writing about it.
//
// Invariant: an event has all notices of its account, so the last word about an account counts, wherever it comes from. What is
// being written is kept as drafts are (`shelf.ts`): a reload, a crash and the end of the sign-in leave it where it is.

import { get } from '../api/http.ts';
import type { AccountNotice, NoticesData } from '../api/types.ts';
import { shelf } from './drafts.svelte.ts';

/** A notice that is being written. */
export interface Written {
  text: string;
  /** Until when, as `until.ts` reads it. */
  until: string;
  /** The notice that is changed. */
  id: string;
}

export const NOTHING: Written = { text: '', until: 'today', id: '' };

class Daily {
  private known = $state.raw<ReadonlyMap<string, readonly AccountNotice[]>>(new Map());
  private texts = $state<Record<string, Written>>({});
  private user = '';
  /** Grows with every event, so that an answer that was on its way covers no newer word. */
  private events = 0;

  sit(user: string): void {
    this.user = user;
    this.known = new Map();
    this.texts = Object.fromEntries(user ? shelf.all<Written>(user, 'notice') : []);
  }

  took({ account, notices }: NoticesData): void {
    this.events += 1;
    this.known = new Map(this.known).set(account, notices);
  }

  /** Asks for the notices of an account; of all accounts without one. */
  async load(account?: string): Promise<void> {
    const { user, events } = this;
    const answer = await get<{ items: AccountNotice[] }>('/v1/notices', { account }).catch(() => undefined);
    if (!answer || user !== this.user || events !== this.events) return;
    const found = new Map<string, readonly AccountNotice[]>(account ? [[account, []]] : []);
    for (const one of answer.items) found.set(one.account, [...(found.get(one.account) ?? []), one]);
    this.known = account ? new Map([...this.known, ...found]) : found;
  }

  /** What holds for the account at this time; `given` where nothing is known yet. */
  of(account: string, now: number, given: readonly AccountNotice[] = []): readonly AccountNotice[] {
    return (this.known.get(account) ?? given).filter((one) => holds(one, now));
  }

  /** What will hold for the account. */
  later(account: string, now: number): readonly AccountNotice[] {
    return (this.known.get(account) ?? []).filter((one) => Date.parse(one.from) > now);
  }

  /** What holds for any account, by account. */
  today(now: number): [string, readonly AccountNotice[]][] {
    const all = [...this.known].map(([account]): [string, readonly AccountNotice[]] => [account, this.of(account, now)]);
    return all.filter(([, notices]) => notices.length);
  }

  /** What is being written about the account. */
  written(account: string): Written {
    return this.texts[account] ?? NOTHING;
  }

  write(account: string, change: Partial<Written>): void {
    const now = { ...this.written(account), ...change };
    if (now.text.trim()) {
      this.texts[account] = now;
      shelf.put(this.user, 'notice', account, now);
    } else if (now.id || now.until !== NOTHING.until) this.texts[account] = now;
    else this.discard(account);
  }

  discard(account: string): void {
    delete this.texts[account];
    shelf.drop(this.user, 'notice', account);
  }
}

const holds = (one: AccountNotice, now: number): boolean => Date.parse(one.from) <= now && now < Date.parse(one.until);

export const daily = new Daily();
