// Messages (伝言): those of the caller in front, those of the list, the one that is being written, and those that the
// daemon has not confirmed yet (`unsaved.ts`).
//
// Invariant: what somebody has typed stays until they save it or throw it away, whatever becomes of the call, the
// connection and the daemon; a message that changes while a list is shown stands in it in its newest version.

import { ApiError, download, get, newKey, patch, post, type Query } from '../api/http.ts';
import type { Message, MessageOptions, TakeMessage } from '../api/types.ts';
import { contentOf, draftOf, isAsTaken, patchOf, wantedOf, type Asked, type Known } from './content.ts';
import { desk } from './desk.svelte.ts';
import { drafts, NO_MESSAGE, shelf, type Draft } from './drafts.svelte.ts';
import { Outbox, type Unsaved } from './unsaved.ts';

const PAGE = 50;
/** So long a form waits for the daemon's answer before the message waits without it, in milliseconds. */
const FORM_MS_MAX = 3_000;

interface Page {
  items: Message[];
  next?: string | null;
}

/** The message that was saved last, as long as it can be taken back. */
interface Undoable {
  message: Message;
  wanted: TakeMessage;
  /** In milliseconds of `performance.now()`. */
  until: number;
}

class Messages {
  /** What the installation decides about messages. */
  options = $state.raw<MessageOptions | undefined>();
  private undoable: Undoable | undefined;
  private kept = new Map<string, Unsaved<TakeMessage>>();
  private all = $state.raw<readonly Unsaved<TakeMessage>[]>([]);
  private outbox = new Outbox<TakeMessage, Message>({
    send: ({ wanted, key }) => post<Message>('/v1/messages', wanted, key),
    saved: (message, { wanted }) => {
      desk.tookMessage(message);
      const seconds = this.options?.undo_s ?? 0;
      this.undoable = seconds ? { message, wanted, until: performance.now() + seconds * 1_000 } : undefined;
      const values = { number: message.number ?? '', seconds };
      if (this.undoable) desk.say('message.saved_undo', values);
      else desk.say('message.saved', values);
    },
    user: () => desk.session?.user,
    changed: (all) => this.changed(all),
  });

  /** The person's own that the daemon has not confirmed, oldest first. */
  unsaved = $derived(this.all.filter((one) => one.user === desk.session?.user));

  /** This person sits here now: what they left unsaved is sent. */
  sit(user: string | undefined): void {
    if (!user) return;
    const left = shelf.all<Unsaved<TakeMessage>>(user, 'message');
    for (const [key, one] of left) this.kept.set(key, one);
    this.outbox.restore([...left.values()]);
  }

  private changed(all: readonly Unsaved<TakeMessage>[]): void {
    this.all = all;
    const now = new Map(all.map((one) => [one.key, one]));
    for (const [key, one] of this.kept) if (!now.has(key)) shelf.drop(one.user, 'message', key);
    for (const [key, one] of now) if (this.kept.get(key) !== one) shelf.put(one.user, 'message', key, one);
    this.kept = now;
  }

  /** To be called when the page is connected. */
  loadOptions(): void {
    get<MessageOptions>('/v1/messages/options').then(
      (options) => (this.options = options),
      () => undefined,
    );
  }

  /** Takes the message back that was saved a moment ago; gives its draft's id. */
  async undo(): Promise<string | undefined> {
    const last = this.undoable;
    this.undoable = undefined;
    if (!last || performance.now() > last.until) return undefined;
    const isDone = await desk.order(async () => {
      desk.tookMessage(await post<Message>(`/v1/messages/${last.message.id}/undo`));
    });
    if (!isDone) return undefined;
    desk.say('message.undone', { number: last.message.number ?? '' });
    return this.asDraft(last.wanted, last.message.id);
  }

  async list(asked: Query, cursor?: string): Promise<Page> {
    return get<Page>('/v1/messages', { ...asked, limit: PAGE, cursor });
  }

  /** True when it is saved, or waits to be; else the draft is still there. */
  async take(draft: Draft, known?: Known, asked?: Asked): Promise<boolean> {
    const { call } = draft;
    const wanted = contentOf(draft, known, asked);
    const key = newKey();
    if (!this.outbox.add({ key, user: desk.session?.user ?? '', wanted, at: desk.now })) {
      desk.refuse('message.too_many');
      return false;
    }
    await Promise.race([this.outbox.flush(), new Promise((resolve) => setTimeout(resolve, FORM_MS_MAX))]);
    const left = this.outbox.find(key);
    if (left?.refusal !== undefined) {
      this.outbox.discard(key);
      desk.sayRefusal(left.refusal);
      return false;
    }
    if (left) desk.say('message.waits');
    Object.assign(draft, NO_MESSAGE);
    if (draft.id !== call) drafts.discard(draft.id);
    return true;
  }

  /** Sends what waits, as the connection is there. */
  flush(): void {
    void this.outbox.flush();
  }

  /** Makes a draft of a refused message, beside any other draft of its call; gives its id. */
  correct({ key, wanted, at }: Unsaved<TakeMessage>): string {
    const id = `message ${key}`;
    this.draftBeside(id, wanted, at);
    this.outbox.discard(key);
    return id;
  }

  /** A withdrawn message is the draft of its call again, or stands beside what was begun there meanwhile. */
  private asDraft(wanted: TakeMessage, id: string): string {
    const call = wanted.call ?? '';
    if (!call || drafts.hasMessage(call)) {
      this.draftBeside(`message ${id}`, wanted, desk.now);
      return `message ${id}`;
    }
    Object.assign(drafts.of(call), draftOf(wanted, Boolean(wanted.customer)));
    return call;
  }

  private draftBeside(id: string, wanted: TakeMessage, at: number): void {
    const { account, call, customer } = wanted;
    const account_name = desk.accounts.get(account ?? '')?.name ?? '';
    drafts.of(id, {
      ...{ call: call ?? '', account: account ?? '', account_name, customer: customer ?? '', at },
      ...draftOf(wanted, false),
    });
  }

  tryAgain(key: string): void {
    void this.outbox.again(key);
  }

  discard(key: string): void {
    this.outbox.discard(key);
  }

  /** Begins to change or to correct a message; gives its draft's id. */
  revise(message: Message): string {
    const id = `correct ${message.id}`;
    if (drafts.find(id)?.corrects !== message.id) {
      this.draftBeside(id, wantedOf(message), desk.now);
      Object.assign(drafts.of(id), { corrects: message.id, corrects_version: message.version });
    }
    return id;
  }

  /** The form is closed: a draft that says what the message says is none. */
  leave(id: string, message: Message): void {
    const draft = drafts.find(id);
    if (draft && !draft.why.trim() && isAsTaken(draft, message)) drafts.discard(id);
  }

  /** Changes a message that nobody has had, or corrects another one; true when it is done. */
  async saveRevision(draft: Draft, asked?: Asked): Promise<boolean> {
    const { corrects, corrects_version: version } = draft;
    let isNeeded = false;
    const isDone = await desk.order(async () => {
      const before = await get<Message>(`/v1/messages/${corrects}`);
      const fields = patchOf(draft, before, asked);
      if (!Object.keys(fields).length) return;
      const why = draft.why.trim();
      if (before.state !== 'open' && !why) return void (isNeeded = true);
      const path = `/v1/messages/${corrects}`;
      const write = why ? post<Message>(`${path}/corrections`, { ...fields, version, why }) : patch<Message>(path, { ...fields, version });
      const now = await write.catch((error: unknown) => {
        // Somebody else changed it: the person sees what it is now, and saves again or not.
        const current = error instanceof ApiError ? (error.problem['message'] as Message | undefined) : undefined;
        if (current) {
          desk.tookMessage(current);
          draft.corrects_version = current.version;
        }
        // It is on its way by now.
        if (error instanceof ApiError && error.type === 'message-not-open' && !why) return void (isNeeded = true);
        throw error;
      });
      if (!now) return;
      desk.tookMessage(now);
      desk.say(now.revision > before.revision ? 'message.corrected' : 'message.changed', { number: now.number ?? '' });
    });
    if (isNeeded) return desk.refuse('message.why_needed');
    if (isDone) drafts.discard(draft.id);
    return isDone;
  }

  /** Takes back a message of the list; what it said is a draft again. */
  async withdraw(message: Message): Promise<void> {
    const isDone = await desk.order(async () => desk.tookMessage(await post<Message>(`/v1/messages/${message.id}/undo`)));
    if (!isDone) return;
    if (this.undoable?.message.id === message.id) this.undoable = undefined;
    desk.say('message.undone', { number: message.number ?? '' });
    this.asDraft(wantedOf(message), message.id);
  }

  /** Until when a message is not sent, as the field of a form has it; nothing: it is sent now. */
  hold(message: Message, until: string): Promise<boolean> {
    const at = until ? new Date(until) : undefined;
    return desk.order(async () => {
      const path = `/v1/messages/${message.id}`;
      desk.tookMessage(at ? await post<Message>(`${path}/hold`, { until: at.toISOString() }) : await post<Message>(`${path}/release`));
    });
  }

  /** Saves the messages of this question as a file for spreadsheets. */
  export(query: Query, encoding: string, name: string): Promise<boolean> {
    return desk.order(() => download('/v1/export/messages.csv', { ...query, encoding }, name));
  }

  acknowledge(message: Message): Promise<boolean> {
    return desk.order(async () => {
      desk.tookMessage(await patch<Message>(`/v1/messages/${message.id}`, { state: 'acknowledged' }));
    });
  }
}

/** The list with what events brought since it was loaded: newest first. */
export function withNewer(
  listed: readonly Message[],
  newer: ReadonlyMap<string, Message>,
  belongs: (message: Message) => boolean,
): Message[] {
  const all = new Map(listed.map((one) => [one.id, one]));
  for (const one of newer.values()) {
    const known = all.get(one.id);
    if (known ? known.version < one.version : belongs(one)) all.set(one.id, one);
  }
  return [...all.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0));
}

export const messages = new Messages();
