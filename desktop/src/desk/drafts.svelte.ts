// What the person at this desk is writing, by call: a message, the result and notes of the after-call work, a new
// customer, a number to pass the caller on to.
//
// Invariant: nothing that was typed goes away but by the person's own doing: it is saved, or thrown away by name. A
// call that ends, a pop, a reload and the end of the sign-in leave it where it is (`shelf.ts`), and the daemon has it
// a second after the last key (`serverDrafts.ts`).

import { ApiError, get, put, remove } from '../api/http.ts';
import { prefs } from './prefs.svelte.ts';
import { ServerDrafts, type Answer, type Gone, type Stored } from './serverDrafts.ts';
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
  /** The message. Times are as the field of the form has them, local and without a zone. */
  contact: string;
  text: string;
  reason: string;
  action: string;
  urgency: string;
  mark: string;
  for_text: string;
  from_name: string;
  from_kanji: string;
  from_company: string;
  from_department: string;
  from_gender: string;
  from_number: string;
  confirmed: boolean;
  call_back_number: string;
  call_back_from: string;
  call_back_until: string;
  call_back_text: string;
  subject: string;
  hold_until: string;
  /** What is to be done later, by whom. */
  follow_up_at: string;
  follow_up_text: string;
  follow_up_by: string;
  /** The transfer that failed, where the message stands for it. */
  transfer: string;
  transfer_outcome: string;
  /** The script by which it is written, in this version; nothing: none. */
  script: string;
  script_version: number;
  /** Answers to its questions, by question; to those that a field of the message answers: that somebody did. */
  answers: Record<string, string[]>;
  /** What the caller said to its offers, by offer. */
  offers: Record<string, string>;
  /** Files that were uploaded for it. */
  files: { id: string; name: string }[];
  /** The message that is changed or corrected, in this version, and why. */
  corrects: string;
  corrects_version: number;
  why: string;
  /** The after-call work. */
  disposition: string;
  notes: string;
  /** The notes that the daemon has already. */
  saved_notes: string;
  /** A number to pass the caller on to. */
  number: string;
  record: CustomerDraft | null;
  /** Its version at the daemon; 0: it has none. */
  version: number;
}

/** The fields of a message that nobody has written yet. */
export const NO_MESSAGE = {
  ...{ contact: '', text: '', reason: '', action: '', urgency: '', mark: '', for_text: '' },
  ...{ from_name: '', from_kanji: '', from_company: '', from_department: '', from_gender: '', from_number: '', confirmed: false },
  ...{ call_back_number: '', call_back_from: '', call_back_until: '', call_back_text: '', subject: '', hold_until: '' },
  ...{ follow_up_at: '', follow_up_text: '', follow_up_by: '' },
  ...{ script: '', script_version: 0, answers: {} as Record<string, string[]>, offers: {} as Record<string, string> },
  ...{ transfer: '', transfer_outcome: '', files: [] as { id: string; name: string }[] },
  ...{ corrects: '', corrects_version: 0, why: '' },
};

const NOTHING: Draft = {
  ...{ id: '', call: '', account: '', account_name: '', customer: '', at: 0, ...NO_MESSAGE },
  ...{ disposition: '', notes: '', saved_notes: '', number: '', record: null, version: 0 },
};

/** What is known where the draft is begun: whose call it is. */
export type About = Partial<Draft>;

/** A draft of nothing, which is kept nowhere. */
export const blank = (about: About): Draft => ({ ...NOTHING, ...about });

export const shelf = new Shelf(places);

function places(): Place[] {
  try {
    return prefs.keep ? [localStorage, sessionStorage] : [sessionStorage, localStorage];
  } catch {
    return [];
  }
}

export function hasMessage(one: Draft): boolean {
  const { text, for_text, from_name, from_kanji, from_company, from_department, from_number, call_back_number, call_back_text, subject, follow_up_text } = one;
  const texts = [text, for_text, from_name, from_kanji, from_company, from_department, from_number, call_back_number, call_back_text, subject, follow_up_text];
  return [...texts, ...Object.values(one.answers).flat()].some((written) => written.trim()) || Object.keys(one.offers).length > 0;
}
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
  private server = new ServerDrafts<Body>({
    write,
    remove: (call) =>
      remove(`/v1/drafts/${call}`).then(
        () => true,
        (error: unknown) => error instanceof ApiError && error.status >= 400 && error.status < 500,
      ),
    keepOther: (other) => this.keepOther(other),
    stored: (call, version) => {
      const one = this.all[call];
      if (one) one.version = version;
    },
    gone: (call, what) => (what ? shelf.put(this.user, 'gone', call, what) : shelf.drop(this.user, 'gone', call)),
  });

  /** Grows when what the daemon keeps took the place of a draft in which nothing was written. */
  loaded = $state(0);

  /** Those with something that would be lost if they were thrown away, the oldest first. */
  begun = $derived(Object.values(this.all).filter((one) => hasMessage(one) || hasWrapUp(one) || hasRecord(one)));

  /** This person sits here now; nobody, where it is empty. What another one wrote is neither shown nor lost. */
  sit(user: string): void {
    this.user = user;
    this.written.clear();
    this.server.forget();
    const left = user ? [...shelf.all<Draft>(user, 'draft')] : [];
    for (const [call, draft] of left) this.written.set(call, JSON.stringify(draft));
    this.all = Object.fromEntries(left.map(([call, draft]) => [call, { ...NOTHING, ...draft }]));
    for (const [call, gone] of user ? shelf.all<Gone>(user, 'gone') : []) this.server.restore(call, gone);
  }

  /** The page is connected: what the daemon keeps is there too, and has what was written meanwhile. */
  async synchronise(): Promise<void> {
    const { user } = this;
    const answer = await get<{ items: Stored<Partial<Body>>[] }>('/v1/drafts').catch(() => undefined);
    if (!answer || !user || user !== this.user) return;
    for (const { call, body, version } of answer.items) {
      const stored = { call, body: { ...bodyOf(NOTHING), ...body }, version };
      if (this.server.isGone(call, stored.body)) continue;
      this.server.known(stored);
      const known = this.all[call];
      const now = { ...NOTHING, ...stored.body, id: call, version };
      if (!known) this.all[call] = now;
      else if (!isBegun(known)) {
        // A form may hold it.
        Object.assign(known, now);
        this.loaded += 1;
      } else if (version > known.version && JSON.stringify(bodyOf(known)) !== JSON.stringify(stored.body)) this.keepOther(stored);
    }
    this.server.flush();
  }

  /** What was written at another desk about the same call stands beside what was written here. */
  private keepOther({ call, body, version }: Stored<Body>): void {
    const id = `other ${call} ${version}`;
    this.all[id] = { ...NOTHING, ...body, id, call };
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
    this.all[id] = { ...NOTHING, id, call: id, at: Date.now(), ...about };
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
    for (const [call, draft] of shelf.all<Draft>(this.user, 'draft')) this.all[call] ??= { ...NOTHING, ...draft };
  }

  /** The person signs out, and nothing that would be lost is left. */
  forget(): void {
    for (const call of Object.keys(this.all)) this.discard(call);
  }

  discard(call: string): void {
    if (this.user) shelf.drop(this.user, 'draft', call);
    this.written.delete(call);
    this.server.changed(call, undefined);
    delete this.all[call];
  }

  /** Keeps what is written, as it is written, and also where the page is closed within a second of the last key. */
  follow(): void {
    $effect(() => {
      const leaves = () => this.server.flush(true);
      const hides = () => document.hidden && leaves();
      addEventListener('pagehide', leaves);
      document.addEventListener('visibilitychange', hides);
      return () => {
        removeEventListener('pagehide', leaves);
        document.removeEventListener('visibilitychange', hides);
      };
    });
    $effect(() => {
      const { user, written } = this;
      const now = $state.snapshot(this.all);
      if (!user) return;
      for (const [call, draft] of Object.entries(now)) {
        const text = isBegun(draft) ? JSON.stringify(draft) : '';
        if ((written.get(call) ?? '') === text) continue;
        this.server.changed(call, text ? bodyOf(draft) : undefined, draft.version);
        if (text) shelf.put(user, 'draft', call, draft);
        else shelf.drop(user, 'draft', call);
        written.set(call, text);
      }
      for (const call of written.keys()) {
        if (call in now) continue;
        shelf.drop(user, 'draft', call);
        this.server.changed(call, undefined);
        written.delete(call);
      }
    });
  }
}

/** What the daemon keeps of a draft. */
type Body = Omit<Draft, 'version'>;

function bodyOf({ version: _, ...body }: Draft): Body {
  return body;
}

async function write(call: string, body: Body, version: number, outlives: boolean): Promise<Answer<Body>> {
  const { account, customer } = body;
  const sent = { version, body, ...(account ? { account } : {}), ...(customer ? { customer } : {}) };
  try {
    const stored = await put<Stored<Body>>(`/v1/drafts/${call}`, sent, outlives);
    return { kind: 'written', version: stored.version };
  } catch (error) {
    if (!(error instanceof ApiError) || !error.status || error.status >= 500 || error.status === 401) return { kind: 'later' };
    if (error.type !== 'draft-changed') return { kind: 'refused' };
    return { kind: 'changed', current: error.problem['draft'] as Stored<Body> | undefined };
  }
}

export const drafts = new Drafts();
