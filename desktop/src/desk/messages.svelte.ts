// Messages (伝言): those of the caller in front, those of the list, the one that is being written, and those that the
// daemon has not confirmed yet (`unsaved.ts`).
//
// Invariant: what somebody has typed stays until it is saved or thrown away by her, whatever becomes of the call, the
// connection and the daemon; a message that is told of while a list is shown stands in it as it was told, never older.

import { get, newKey, patch, post } from '../api/http.ts';
import type { Message, MessageOptions, MessageState, TakeMessage } from '../api/types.ts';
import { contentOf, draftOf, type Known } from './content.ts';
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

export interface Asked {
  account?: string | undefined;
  caller?: string | undefined;
  state?: MessageState | undefined;
  call?: string | undefined;
  mark?: string | undefined;
  q?: string | undefined;
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
      desk.toldOf(message);
      const seconds = this.options?.undo_s ?? 0;
      this.undoable = seconds ? { message, wanted, until: performance.now() + seconds * 1_000 } : undefined;
      const values = { number: message.number ?? '', seconds };
      if (this.undoable) desk.say('message.saved_undo', values);
      else desk.say('message.saved', values);
    },
    user: () => desk.session?.user,
    changed: (all) => this.changed(all),
  });

  /** Her own that the daemon has not confirmed, oldest first. */
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
      desk.toldOf(await post<Message>(`/v1/messages/${last.message.id}/undo`));
    });
    if (!isDone) return undefined;
    desk.say('message.undone', { number: last.message.number ?? '' });
    return this.asDraft(last.wanted, last.message.id);
  }

  async list(asked: Asked, cursor?: string): Promise<Page> {
    return get<Page>('/v1/messages', { ...asked, limit: PAGE, cursor });
  }

  /** True when it is saved, or waits to be; else the draft is still there. */
  async take(draft: Draft, known?: Known): Promise<boolean> {
    const { call } = draft;
    const wanted = contentOf(draft, known);
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

  acknowledge(message: Message): Promise<boolean> {
    return desk.order(async () => {
      desk.toldOf(await patch<Message>(`/v1/messages/${message.id}`, { state: 'acknowledged' }));
    });
  }
}

/** The list with what was told since it was loaded: newest first. */
export function withTold(
  listed: readonly Message[],
  told: ReadonlyMap<string, Message>,
  belongs: (message: Message) => boolean,
): Message[] {
  const all = new Map(listed.map((one) => [one.id, one]));
  for (const one of told.values()) {
    const known = all.get(one.id);
    if (known ? known.version < one.version : belongs(one)) all.set(one.id, one);
  }
  return [...all.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0));
}

export const messages = new Messages();
