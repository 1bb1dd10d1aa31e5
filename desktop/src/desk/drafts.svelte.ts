// What the person at this desk is writing, by call: a message, the result and notes of the after-call work, a new
// customer, a number to pass the caller on to.
//
// Invariant: nothing that was typed goes away but by the person's own doing: it is saved, or thrown away by name. A
// call that ends, a pop, a reload and the end of the sign-in leave it where it is (`shelf.ts`).

import { prefs } from './prefs.svelte.ts';
import { Shelf, type Place } from './shelf.ts';

/** Most calls with drafts in which nothing is written; those in which something is are never dropped for room. */
const UNTOUCHED_MAX = 200;

export interface CustomerDraft {
  number: string;
  name: string;
  kana: string;
  company: string;
  department: string;
  notes: string;
}

export interface Draft {
  /** That of the call, or of the message that is being corrected. */
  id: string;
  call: string;
  /** For whom the call was: what is written can be saved without the call. */
  account: string;
  account_name: string;
  customer: string;
  /** When it was begun, in milliseconds of the daemon's time. */
  at: number;
  /** The message. */
  contact: string;
  text: string;
  /** The after-call work. */
  disposition: string;
  notes: string;
  /** The notes that the daemon has already. */
  saved_notes: string;
  /** A number to pass the caller on to. */
  number: string;
  record: CustomerDraft | null;
}

/** What is known where the draft is begun: whose call it is. */
export type About = Partial<Draft>;

export const shelf = new Shelf(places);

function places(): Place[] {
  try {
    return prefs.keep ? [localStorage, sessionStorage] : [sessionStorage, localStorage];
  } catch {
    return [];
  }
}

export const hasMessage = (one: Draft): boolean => Boolean(one.text.trim());
export const hasWrapUp = (one: Draft): boolean => one.notes.trim() !== one.saved_notes.trim() || Boolean(one.disposition);

export function hasRecord({ record }: Draft): boolean {
  if (!record) return false;
  const { name, kana, company, department, notes } = record;
  return [name, kana, company, department, notes].some((text) => text.trim());
}

const isBegun = (one: Draft): boolean =>
  hasMessage(one) || Boolean(one.notes.trim() || one.disposition || one.number.trim()) || hasRecord(one);

class Drafts {
  private all = $state<Record<string, Draft>>({});
  private user = '';
  private written = new Map<string, string>();

  /** Those with something that would be lost if they were thrown away, the oldest first. */
  begun = $derived(Object.values(this.all).filter((one) => hasMessage(one) || hasWrapUp(one) || hasRecord(one)));

  /** This person sits here now; nobody, where it is empty. What another one wrote is neither shown nor lost. */
  sit(user: string): void {
    this.user = user;
    this.written.clear();
    const left = user ? [...shelf.all<Draft>(user, 'draft')] : [];
    for (const [call, draft] of left) this.written.set(call, JSON.stringify(draft));
    this.all = Object.fromEntries(left);
  }

  /** What has been written so far under this id, that of the call, to be written on. */
  of(id: string, about: About = {}): Draft {
    const known = this.all[id];
    if (known) {
      if (about.account && !known.account) Object.assign(known, about);
      return known;
    }
    const untouched = Object.values(this.all).filter((one) => !isBegun(one));
    if (untouched.length >= UNTOUCHED_MAX && untouched[0]) delete this.all[untouched[0].id];
    this.all[id] = {
      ...{ id, call: id, account: '', account_name: '', customer: '', at: Date.now(), contact: '', text: '' },
      ...{ disposition: '', notes: '', saved_notes: '', number: '', record: null },
      ...about,
    };
    return this.all[id];
  }

  find(call: string): Draft | undefined {
    return this.all[call];
  }

  hasMessage(call: string): boolean {
    const one = this.all[call];
    return one !== undefined && hasMessage(one);
  }

  /** Another tab of this browser may have left something that this one does not know. */
  refresh(): void {
    if (!this.user) return;
    for (const [call, draft] of shelf.all<Draft>(this.user, 'draft')) this.all[call] ??= draft;
  }

  /** The person signs out, and nothing that would be lost is left. */
  forget(): void {
    for (const call of Object.keys(this.all)) this.discard(call);
  }

  discard(call: string): void {
    if (this.user) shelf.drop(this.user, 'draft', call);
    this.written.delete(call);
    delete this.all[call];
  }

  /** Keeps what is written, as it is written. */
  follow(): void {
    $effect(() => {
      const { user, written } = this;
      const now = $state.snapshot(this.all);
      if (!user) return;
      for (const [call, draft] of Object.entries(now)) {
        const text = isBegun(draft) ? JSON.stringify(draft) : '';
        if ((written.get(call) ?? '') === text) continue;
        if (text) shelf.put(user, 'draft', call, draft);
        else shelf.drop(user, 'draft', call);
        written.set(call, text);
      }
      for (const call of written.keys()) {
        if (call in now) continue;
        shelf.drop(user, 'draft', call);
        written.delete(call);
      }
    });
  }
}

export const drafts = new Drafts();
