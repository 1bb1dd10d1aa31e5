// What the desk shows, and what it would show if nobody were typing.
//
// | nobody has the caret in a field | somebody has |
// |---|---|
// | a call that rings or is taken is shown at once, in whatever view | it stands in a band above; the view, the field and the caret stay |
// | after-call work is shown when the call is over | the same, where the field stays on the desk (`DeskView.svelte`); else the band says what comes |
// | a call rings during after-call work: it stands in the band until it is taken | the same |
// | the time of the work ends: the desk is idle, or the work stays if something was written | the work stays, and can be finished |
//
// The person goes to what waits by Esc, by the band's button, or by leaving the field.
//
// Invariant: no field with a caret is removed by what happens elsewhere.

import type { Card, WrapUp } from '../api/types.ts';
import { desk } from '../desk/desk.svelte.ts';
import { drafts, hasWrapUp } from '../desk/drafts.svelte.ts';
import { prefs } from '../desk/prefs.svelte.ts';
import { recent } from '../desk/recent.svelte.ts';
import type { Call } from '../desk/state.ts';
import { caret } from './caret.svelte.ts';
import { ui } from './ui.svelte.ts';

export interface Place {
  kind: 'call' | 'work' | 'idle';
  /** The call. */
  id: string;
}

/** The part of the desk that stays from the ringing to the end of the after-call work. */
const COLUMNS = '.columns';
const IDLE: Place = { kind: 'idle', id: '' };
const isSame = (a: Place, b: Place) => a.kind === b.kind && a.id === b.id;

class Shown {
  place = $state.raw<Place>(IDLE);
  /** The work whose time is over and that is being finished now, by its call. */
  late = $state('');
  /** The call that was brought to the front last. */
  private fronted = $state('');
  /** After a reload: a message that was begun is there as it was, as soon as its call and its draft are known. */
  private resumes = true;
  private hasDrafts = false;
  /** The call whose answer was seen. */
  private answered = '';
  private lastCall: Call | undefined;
  private lastWork: WrapUp | undefined;

  wanted: Place = $derived.by(() => {
    const call = desk.own ?? desk.pops[0];
    if (call) return { kind: 'call', id: call.id };
    const work = desk.me?.wrap_up?.call ?? (this.isExpired(this.late) ? this.late : '');
    return work ? { kind: 'work', id: work } : IDLE;
  });

  /** What waits behind the field with the caret, for the band. */
  waiting: Place | undefined = $derived.by(() => {
    const { wanted, place } = this;
    if (wanted.kind === 'call') return isSame(wanted, place) && this.fronted === wanted.id ? undefined : wanted;
    return wanted.kind === 'work' && !isSame(wanted, place) && ui.view === 'desk' ? wanted : undefined;
  });

  /** The call in front, as it is now or as it was when it left; in after-call work: the one that the work is about. */
  call: Call | undefined = $derived.by(() => {
    const { kind, id } = this.place;
    const now = desk.state.calls.get(id);
    if (now && this.concerns(now)) this.lastCall = now;
    if (kind === 'idle') return undefined;
    if (this.lastCall?.id === id) return this.lastCall;
    return this.work ? asCall(this.work, recent.find(id)?.card) : undefined;
  });

  /** Whether the call in front is over, or is no longer this person's. */
  isOver: boolean = $derived.by(() => {
    const now = desk.state.calls.get(this.place.id);
    return this.place.kind === 'call' && !(now && this.concerns(now));
  });

  work: WrapUp | undefined = $derived.by(() => {
    const { kind, id } = this.place;
    const open = desk.me?.wrap_up?.call === id ? desk.me.wrap_up : undefined;
    const now = open ?? desk.me?.undisposed_work?.find((one) => one.call === id);
    if (now) this.lastWork = now;
    return kind === 'work' && this.lastWork?.call === id ? this.lastWork : undefined;
  });

  /** Whether its time is still running. */
  isOpen = $derived(this.place.kind === 'work' && desk.me?.wrap_up?.call === this.place.id);

  isExpired(call: string): boolean {
    return Boolean(call) && Boolean(desk.me?.undisposed_work?.some((one) => one.call === call));
  }

  /** Shows what waits, at once: the person asked for it. */
  go(): void {
    const { wanted } = this;
    caret.leave();
    this.show(wanted);
  }

  /** Begins to finish work whose time is over. */
  begin(call: string): void {
    this.late = call;
    ui.view = 'desk';
    this.go();
  }

  /** The work is finished, or put aside. */
  end(): void {
    this.late = '';
    this.go();
  }

  /** To be called once, while the page lives. */
  follow(): void {
    $effect(() => {
      // What was begun stays in front when its time is over.
      const { kind, id } = this.place;
      if (kind !== 'work' || this.late === id || !this.isExpired(id)) return;
      const draft = drafts.find(id);
      if (caret.isBusy() || (draft && hasWrapUp(draft))) this.late = id;
    });
    $effect(() => {
      void desk.now;
      const { wanted } = this;
      const isShown = isSame(wanted, this.place) && (wanted.kind !== 'call' || this.fronted === wanted.id);
      if (!isShown && !this.waitsFor(wanted)) this.show(wanted);
    });
    // The caret goes into the message as soon as the call is answered, where the account or the person wants that.
    $effect(() => {
      const { own } = desk;
      const account = desk.accounts.get(own?.card?.account.id ?? '');
      if (!own || !account || own.id !== this.place.id || own.id === this.answered) return;
      this.answered = own.id;
      if ((account.open_on_answer || prefs.write) && !caret.isBusy()) ui.message = true;
    });
  }

  /** The drafts that the daemon keeps are known. */
  draftsAreKnown(): void {
    this.hasDrafts = true;
    if (!caret.isBusy()) this.resume(this.place.id);
  }

  /** Whether what is in front stays there for now. */
  private waitsFor(wanted: Place): boolean {
    const { place } = this;
    // The fields of one call stay where they are.
    if (caret.isBusy()) return wanted.id !== place.id || ui.view !== 'desk' || caret.isClicking() || !caret.isIn(COLUMNS);
    return place.kind === 'work' && wanted.kind === 'call' && wanted.id !== place.id && !desk.own && ui.view === 'desk';
  }

  private resume(call: string): void {
    if (!this.resumes || !call) return;
    if (drafts.hasMessage(call)) ui.message = true;
    this.resumes = !this.hasDrafts;
  }

  private show(wanted: Place): void {
    if (wanted.id !== this.place.id) {
      ui.message = ui.newCustomer = ui.noMessage = false;
      this.resume(wanted.id);
    }
    this.place = wanted;
    if (wanted.kind === 'call' && this.fronted !== wanted.id) ui.view = 'desk';
    this.fronted = wanted.kind === 'call' ? wanted.id : '';
  }

  private concerns(call: Call): boolean {
    const { extension } = desk.state.viewer;
    return Boolean(extension) && (call.operator === extension || call.presented_to.includes(extension ?? ''));
  }
}

/** The call of after-call work, as far as this page knows it. */
function asCall(work: WrapUp, card: Card | undefined): Call {
  const { call, since } = work;
  return {
    ...{ id: call, pbx: '', direction: 'inbound', state: 'ended', offered_at: since, presented_to: [], handled_by: [], pops: {} },
    ...(card ? { card } : {}),
  } as Call;
}

export const shown = new Shown();
