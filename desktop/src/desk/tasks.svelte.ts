// Phone tasks (電話連絡): the calls that operators are to make about messages, in the order in which they are due.
//
// Invariant: the list is what the daemon said last; every `task.changed` and every new connection asks for it again, one request
// at a time. A claim of this person is renewed while the page lives.

import { get, post } from '../api/http.ts';
import type { Message, PhoneTask, PhoneTaskResult, PhoneTasks } from '../api/types.ts';
import { desk } from './desk.svelte.ts';

/** A claim holds for five minutes. */
const RENEW_MS = 120_000;

class Tasks {
  all = $state.raw<readonly PhoneTask[]>([]);
  /** The messages of the tasks of this person, which say what to tell. */
  messages = $state.raw<ReadonlyMap<string, Message>>(new Map());
  private isAsking = false;
  private isStale = false;

  mine = $derived(this.all.filter((task) => task.state === 'claimed' && task.claimed_by === desk.session?.user));
  /** Those that anybody may take now. */
  due = $derived(this.all.filter((task) => task.state === 'open' && Date.parse(task.due_at) <= desk.now));

  /** To be called once, while the page lives. */
  follow(): void {
    const user = $derived(desk.session?.role === 'system' ? undefined : desk.session?.user);
    $effect.pre(() => {
      void user;
      this.all = [];
      this.messages = new Map();
    });
    $effect(() => {
      void desk.taskChanges;
      if (user && desk.live) void this.load();
    });
    $effect(() => {
      if (!user) return undefined;
      const timer = setInterval(() => this.renew(), RENEW_MS);
      return () => clearInterval(timer);
    });
  }

  async claim(task: PhoneTask): Promise<void> {
    await desk.order(() => post(`/v1/tasks/${task.id}/claim`));
    await this.load();
  }

  async release(task: PhoneTask): Promise<void> {
    await desk.order(() => post(`/v1/tasks/${task.id}/release`));
    await this.load();
  }

  async report(task: PhoneTask, result: PhoneTaskResult): Promise<void> {
    await desk.order(() => post(`/v1/tasks/${task.id}/result`, { result }));
    await this.load();
  }

  private async load(): Promise<void> {
    this.isStale = true;
    if (this.isAsking) return;
    this.isAsking = true;
    const user = desk.session?.user;
    while (this.isStale) {
      this.isStale = false;
      const page = await get<PhoneTasks>('/v1/tasks').catch(() => undefined);
      if (page && desk.session?.user === user) this.all = page.items;
    }
    this.isAsking = false;
    await this.loadMessages();
  }

  private async loadMessages(): Promise<void> {
    for (const { message } of this.mine) {
      if (this.messages.has(message)) continue;
      const found = await get<Message>(`/v1/messages/${message}`).catch(() => undefined);
      if (found) this.messages = new Map(this.messages).set(message, found);
    }
  }

  private renew(): void {
    if (!desk.live) return;
    // A claim that is over meanwhile is in the next list.
    for (const task of this.mine) post(`/v1/tasks/${task.id}/claim`).catch(() => undefined);
  }
}

export const tasks = new Tasks();
