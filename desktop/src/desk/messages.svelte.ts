// Messages (伝言): those of the caller in front, those of the list, and the one that is being written.
//
// Invariant: what somebody has typed stays until it is saved or thrown away by her, whatever becomes of the call;
// a message that is told of while a list is shown stands in it as it was told, never older.

import { get, patch, post } from '../api/http.ts';
import type { Message, MessageState, TakeMessage } from '../api/types.ts';
import { desk } from './desk.svelte.ts';

const PAGE = 50;
const DRAFTS_MAX = 20;

export interface Draft {
  contact: string;
  text: string;
}

interface Page {
  items: Message[];
  next?: string | null;
}

export interface Asked {
  account?: string | undefined;
  caller?: string | undefined;
  state?: MessageState | undefined;
}

class Messages {
  /** By call. */
  private drafts = $state<Record<string, Draft>>({});

  /** What has been written so far in this call, to be written on. */
  begin(call: string): Draft {
    const calls = Object.keys(this.drafts);
    if (!this.drafts[call] && calls.length >= DRAFTS_MAX) delete this.drafts[calls[0] ?? ''];
    this.drafts[call] ??= { contact: '', text: '' };
    return this.drafts[call];
  }

  isBegun(call: string): boolean {
    return Boolean(this.drafts[call]?.text.trim());
  }

  forget(): void {
    this.drafts = {};
  }

  async list(asked: Asked, cursor?: string): Promise<Page> {
    return get<Page>('/v1/messages', { ...asked, limit: PAGE, cursor });
  }

  /** True when it is saved; else the draft is still there. */
  take(call: string, account: string, customer: string | undefined): Promise<boolean> {
    const draft = this.begin(call);
    const { contact, text } = draft;
    const wanted: TakeMessage = { account, call, text, ...(contact ? { contact } : {}), ...(customer ? { customer } : {}) };
    return desk.order(async () => {
      desk.toldOf(await post<Message>('/v1/messages', wanted));
      draft.contact = draft.text = '';
      desk.say('message.saved');
    });
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
