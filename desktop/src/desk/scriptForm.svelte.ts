// The form of the script while a message is written: asked of the daemon when it begins and when something changes.
//
// | is asked | when |
// |---|---|
// | at once | nothing was asked for a while |
// | after the answer, and after `INTERVAL_MS` | something changed meanwhile |
// | never | the account has no script, or there is no connection: the composer asks the usual questions |
//
// The editor of scripts has the same form beside it, of the text that is being written.
//
// Invariant: the form is that of the version with which the message was begun, and one request is under way at most.

import { ApiError, post } from '../api/http.ts';
import type { Contact, EvaluatedScript, EvaluateScript, ScriptField, ScriptFinding, ScriptForm as Form } from '../api/types.ts';
import type { Known } from './content.ts';
import { desk } from './desk.svelte.ts';
import type { Draft } from './drafts.svelte.ts';
import { fieldsOf, hasUnasked, questionOf, usualContact } from './script.ts';

/** The least time between two requests while somebody types, in milliseconds. */
const INTERVAL_MS = 250;
/** So long the composer waits for its first form, in milliseconds. */
export const FIRST_MS_MAX = 1_000;
/** So often saving asks until the form decides nothing new. */
const ASKED_MAX = 3;
/** So long saving waits for the form with the last answers, in milliseconds. */
const SETTLE_MS_MAX = 2_000;

/** What is known beside the draft. */
interface Around {
  /** The customer's record, as long as the form shows it. */
  known: Known | undefined;
  contacts: readonly Contact[];
  /** A text that is being written, and the moment for which its form is. */
  written?: { body: string; at: string };
}

export class ScriptForm {
  /** Nothing: the account has no script, or none is known yet. */
  form = $state.raw<Form | undefined>();
  /** The first form is on its way. */
  isWaiting = $state(false);
  /** What was found in the text that is being written. */
  findings = $state.raw<readonly ScriptFinding[]>([]);
  private seen = new Map<string, ScriptField>();
  /** The last question that was answered. */
  private answered = '';
  private askedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: Promise<void> = Promise.resolve();
  private isOver = false;
  /** The account has no script for this. */
  private hasNone = false;
  /** The daemon does not know the call any more. */
  private withoutCall = false;

  constructor(
    private draft: Draft,
    private around: () => Around,
  ) {}

  /** Asks whenever something changes, as long as the composer is there. */
  follow(): void {
    this.isWaiting = desk.live;
    const patience = setTimeout(() => (this.isWaiting = false), FIRST_MS_MAX);
    $effect(() => {
      if (!desk.live) {
        this.isWaiting = false;
        return;
      }
      if (JSON.stringify(this.question()) === this.answered || this.hasNone) return;
      const left = INTERVAL_MS - (performance.now() - this.askedAt);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.ask(), Math.max(0, left));
    });
    $effect(() => () => {
      this.isOver = true;
      clearTimeout(this.timer);
      clearTimeout(patience);
    });
  }

  /** Waits for the form with the last answers; false where it cannot be had. */
  async settle(): Promise<boolean> {
    const late = new Promise<void>((resolve) => setTimeout(resolve, SETTLE_MS_MAX));
    const isCurrent = () => this.hasNone || JSON.stringify(this.question()) === this.answered;
    // A form may decide something (for whom it is) that is a part of the next question.
    const all = async () => {
      for (let asked = 0; asked < ASKED_MAX && !isCurrent(); asked += 1) await this.ask();
    };
    await Promise.race([all(), late]);
    return isCurrent();
  }

  private question(): EvaluateScript {
    const { known, contacts, written } = this.around();
    // The talk names the contact that the script decides, too.
    const draft = { ...this.draft, contact: this.draft.contact || (this.draft.for_text.trim() ? '' : usualContact(this.form, contacts)) };
    const { call, ...question } = questionOf(draft, this.seen.values(), known);
    if (written) return { ...question, body: written.body, ...(written.at ? { at: written.at } : {}) };
    return call && !this.withoutCall ? { call, ...question } : question;
  }

  private ask(): Promise<void> {
    clearTimeout(this.timer);
    this.running = this.running.then(() => (this.isOver || this.hasNone ? undefined : this.askNow()));
    return this.running;
  }

  private async askNow(): Promise<void> {
    let question = this.question();
    // Each answer may show questions that are answered already; there are never more questions than the script has.
    for (;;) {
      const text = JSON.stringify(question);
      if (text === this.answered) return;
      this.askedAt = performance.now();
      let answer: EvaluatedScript | undefined;
      try {
        answer = await post<EvaluatedScript>('/v1/scripts/evaluate', question);
      } catch (error) {
        if (!this.failed(error)) return;
        question = this.question();
        continue;
      }
      this.isWaiting = false;
      this.answered = text;
      const { form, script, findings } = answer;
      this.findings = findings;
      const isWritten = question.body !== undefined;
      // The form of before, until the text can be read again.
      if (!form && isWritten) return;
      if (!form || (!script && !isWritten)) {
        // The script of accounts without one asks what the composer asks.
        this.hasNone = true;
        return;
      }
      if (script) [this.draft.script, this.draft.script_version] = [script.id, script.version];
      for (const field of fieldsOf(form)) this.seen.set(field.id, field);
      this.form = form;
      const asked = question;
      question = this.question();
      if (!hasUnasked(form, asked, this.draft, this.around().known)) {
        // With the version and the questions that are known now it is the same question.
        if (!differs(asked, question)) this.answered = JSON.stringify(question);
        return;
      }
    }
  }

  /** True: to be asked again, without what the daemon does not know any more. */
  private failed(error: unknown): boolean {
    this.isWaiting = false;
    const isRefused = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 401;
    if (!isRefused) return false;
    if (!this.withoutCall) {
      this.withoutCall = true;
    } else if (this.draft.script) {
      [this.draft.script, this.draft.script_version] = ['', 0];
    } else {
      this.hasNone = true;
      this.form = undefined;
      return false;
    }
    return true;
  }
}

/** Whether two questions differ in more than the version and questions without an answer. */
function differs(one: EvaluateScript, other: EvaluateScript): boolean {
  const core = ({ script: _, values, ...rest }: EvaluateScript) => {
    const answered = Object.entries(values ?? {}).filter(([, value]) => value.some((text) => text));
    return JSON.stringify([rest, answered.sort(([a], [b]) => (a < b ? -1 : 1))]);
  };
  return core(one) !== core(other);
}
