// The page at work: it holds the state, feeds it from the stream, and gives orders.
//
// Invariants: `state` changes by the pure functions of `state.ts` alone; an order is given only while the page
// knows how things are, and otherwise refused with the reason; what was asked for besides the stream is applied
// before the events that came meanwhile, so an older answer never covers a newer event.

import { ApiError, get, patch, post, put, remove } from '../api/http.ts';
import { EventStream, type Link } from '../api/stream.ts';
import type {
  Account,
  Contact,
  Customer,
  CustomerView,
  Message,
  NoticesData,
  OperatorOptions,
  PresenceData,
  PresenceState,
  SessionView,
  StreamEvent,
  SupervisionView,
  Transfer,
} from '../api/types.ts';
import { t, word, type Key } from '../i18n/index.svelte.ts';
import { dayOf } from '../text/time.ts';
import { writeAsIn } from '../text/written.svelte.ts';
import { allowed, ownCall, ownPops, passedOn, type Order } from './choose.ts';
import { isSignOutOwed, onSignOutElsewhere, oweSignOut, settleSignOut } from './farewell.ts';
import { daily } from './daily.svelte.ts';
import { drafts, type CustomerDraft } from './drafts.svelte.ts';
import { forgetKept, readKept, writeKept } from './kept.ts';
import { alarmOf } from './messageList.ts';
import { prefs } from './prefs.svelte.ts';
import { keepShell } from './shell.ts';
import {
  after,
  emptyDesk,
  withMessage,
  withOperators,
  withoutHelp,
  withSupervisions,
  withTransfer,
  type Call,
  type DeskState,
  type Operator,
} from './state.ts';
import { forgetInTab, rememberedInTab } from './tab.ts';

/** Records kept for reading while there is no connection. */
const ACCOUNTS_KEPT_MAX = 2_000;
const CONTACTS_KEPT_MAX = 4_000;
const PAGE_RECORDS = 500;
/** Records are loaded again after this time. */
const RECORDS_FRESH_MS = 30 * 60_000;
const LOOK_AGAIN_MS = 2_000;
const NOTICE_MS = 8_000;
/** What was refused is said longer. */
const NOTICE_ERROR_MS = 20_000;
const NOTICES_MAX = 4;
/** Where a contact stands who is not on call. */
const LAST = Number.MAX_SAFE_INTEGER;
const DESKTOP_NAME = 'web';
/** What the phone itself does, if it can. */
const PHONES_OWN: ReadonlySet<string> = new Set(['answer', 'hold', 'resume']);
/** Events that come at once are applied at once; more of them within this time together. */
const APPLY_EVERY_MS = 40;

export interface Notice {
  id: number;
  /** In the language that is chosen when it is read. */
  text: () => string;
  detail: string;
  kind: 'info' | 'error';
}

interface HelpAsked {
  call: string;
  at: number;
}

interface Page<T> {
  items: T[];
  next?: string | null;
}

class Desk {
  session = $state.raw<SessionView | undefined>();
  /** Whether the first look at the session has been answered. */
  known = $state(false);
  /** Why nobody is signed in any more. */
  farewell = $state<'' | 'expired' | 'ended' | 'away'>('');
  state = $state.raw<DeskState>(emptyDesk({ id: '', role: 'operator', extension: undefined }));
  link = $state.raw<Link>({ phase: 'connecting', since: Date.now() });
  /** The daemon's time, which timers and events share; moves once a second. */
  now = $state(Date.now());
  /** The day of that time: what shows days changes once a day, and not with each second. */
  today = $derived(dayOf(this.now));
  notices = $state<Notice[]>([]);
  accounts = $state.raw<ReadonlyMap<string, Account>>(new Map());
  contacts = $state.raw<ReadonlyMap<string, readonly Contact[]>>(new Map());
  recordsAt = $state(0);
  options = $state.raw<OperatorOptions | undefined>();
  /** Grows when an account may have been closed or opened for a time. */
  overrides = $state(0);
  /** Grows when a phone task changed, or may have changed. */
  taskChanges = $state(0);
  /** Grows when messages, or returned mails, changed or may have changed. */
  messageChanges = $state(0);
  /** Grows when a message needs a supervisor at once. */
  messageAlarms = $state(0);
  /** Grows when the list of callers to be called back changed, or may have changed. */
  callbackChanges = $state(0);
  /** The call for which this person asks for help, and since when. */
  helpAsked = $state.raw<HelpAsked | undefined>();
  /** Customers that were made or chosen here, by call. */
  chosen = $state.raw<ReadonlyMap<string, CustomerView>>(new Map());

  /** The phone that has refused to be operated from here. */
  private byHand = $state('');
  isByHand = $derived(this.byHand !== '' && this.byHand === this.state.viewer.extension);

  private stream: EventStream | undefined;
  private skew = 0;
  private loads = 0;
  private meanwhile: StreamEvent[] = [];
  private inbox: StreamEvent[] = [];
  private appliedAt = 0;
  private applying: ReturnType<typeof setTimeout> | undefined;
  private noticed = 0;
  private lastPop: Call | undefined;
  private lastPops: readonly Call[] = [];
  /** Whether what is shown was kept from an earlier load, and nobody has confirmed it yet. */
  private fromKept = false;

  /** The call that the person wants in front, of those that ring. */
  private preferred = $state('');

  own = $derived(ownCall(this.state));
  /** The same list as long as its calls are the same: what shows it has nothing to do with each event. */
  pops: readonly Call[] = $derived.by(() => {
    const now = ownPops(this.state).sort((a, b) => Number(b.id === this.preferred) - Number(a.id === this.preferred));
    const isSame = now.length === this.lastPops.length && now.every((call, at) => call === this.lastPops[at]);
    if (!isSame) this.lastPops = now;
    return this.lastPops;
  });
  /** Parts of the state: who shows one of them has nothing to do with events about the others. */
  past = $derived(this.state.past);
  people = $derived(this.state.operators);
  written = $derived(this.state.messages);
  recorded = $derived(this.state.recorded);
  passedOn = $derived(passedOn(this.state));
  me = $derived(this.state.operators.get(this.session?.user ?? ''));
  pbxDown = $derived([...this.state.pbx.values()].find((one) => !one.up));
  live = $derived(this.link.phase === 'live');

  constructor() {
    onSignOutElsewhere(() => this.session && this.end('ended'));
  }

  // ---- Signing in and out --------------------------------------------------------------------------------------

  async look(): Promise<void> {
    if (isSignOutOwed()) {
      void forgetKept();
      this.known = true;
      return this.settle();
    }
    try {
      this.begin(await get<SessionView>('/v1/session'));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.session = undefined;
        void forgetKept();
      } else if (!(await this.beginFromKept())) {
        setTimeout(() => void this.look(), LOOK_AGAIN_MS);
      }
    }
    this.known = true;
  }

  /** Without a connection: shows what was kept of this person, and goes on trying. */
  private async beginFromKept(): Promise<boolean> {
    const kept = await readKept().catch(() => undefined);
    if (!kept) return false;
    this.begin(kept.session);
    this.fromKept = true;
    this.accounts = new Map(kept.accounts.map((one) => [one.id, one]));
    this.contacts = grouped(kept.contacts);
    this.options = kept.options;
    this.recordsAt = kept.at;
    return true;
  }

  async signIn(login: string, password: string): Promise<void> {
    if (isSignOutOwed() && !(await settleSignOut())) throw new ApiError(0, 'unreachable', '');
    await forgetKept();
    this.begin(await post<SessionView>('/v1/session', { login, password }));
  }

  /** What is kept here goes at once; the session ends as soon as the daemon can be asked for it. */
  async signOut(): Promise<void> {
    oweSignOut();
    drafts.forget();
    this.end('ended');
    await this.settle();
  }

  private async settle(): Promise<void> {
    while (isSignOutOwed()) {
      if (await settleSignOut()) {
        if (this.farewell === 'away') this.farewell = 'ended';
        return;
      }
      if (!this.session) this.farewell = 'away';
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  private begin(session: SessionView): void {
    this.farewell = this.byHand = '';
    this.session = session;
    writeAsIn(session.country);
    const { user, role } = session;
    const remembered = rememberedInTab(user);
    this.state = { ...emptyDesk({ id: user, role, extension: session.extension ?? undefined }), past: remembered.past };
    this.chosen = new Map(remembered.chosen);
    drafts.sit(user);
    daily.sit(user);
    this.link = { phase: 'connecting', since: Date.now() };
    this.stream = new EventStream({
      link: (link) => this.linked(link),
      events: (events) => this.receive(events),
      signedOut: () => this.end('expired'),
    });
  }

  private end(why: 'expired' | 'ended' | 'away'): void {
    this.stream?.stop();
    this.stream = undefined;
    clearTimeout(this.applying);
    this.applying = undefined;
    this.inbox = [];
    this.session = undefined;
    this.farewell = why;
    this.recordsAt = 0;
    this.fromKept = false;
    void forgetKept();
    forgetInTab();
    drafts.sit('');
    daily.sit('');
    // What one person saw is not there for the next.
    this.state = emptyDesk({ id: '', role: 'operator', extension: undefined });
    this.accounts = new Map();
    this.contacts = new Map();
    this.chosen = new Map();
    this.notices = [];
    this.options = undefined;
  }

  // ---- The stream ----------------------------------------------------------------------------------------------

  private linked(link: Link): void {
    this.link = link;
    if (link.phase !== 'live') return;
    if (this.fromKept) {
      get<SessionView>('/v1/session').then(
        (session) => (this.session = session),
        () => undefined,
      );
    }
    if (this.fromKept || this.now - this.recordsAt > RECORDS_FRESH_MS) void this.keepRecords();
  }

  /** A pop, and what becomes of the own call, is on the screen as soon as it comes; on a busy floor the rest changes a few times a
   * second, not fifty. */
  private receive(events: StreamEvent[]): void {
    this.inbox.push(...events);
    const { extension } = this.state.viewer;
    const isOwn = events.some(({ kind, data }) => kind.startsWith('call.') && extension !== undefined && data['operator'] === extension);
    const wait = this.appliedAt + APPLY_EVERY_MS - performance.now();
    if (isOwn || (wait <= 0 && this.applying === undefined)) this.take();
    else this.applying ??= setTimeout(() => this.take(), wait);
  }

  private take(): void {
    clearTimeout(this.applying);
    this.applying = undefined;
    this.appliedAt = performance.now();
    const events = this.inbox;
    this.inbox = [];
    let { state } = this;
    for (const event of events) {
      if (event.kind.startsWith('stream.')) this.skew = Date.parse(event.at) - Date.now();
      state = after(state, event);
      if (this.loads) this.meanwhile.push(event);
    }
    this.state = state;
    if (events.some((event) => event.kind.startsWith('stream.'))) this.tick();
    if (events.some((event) => event.kind === 'stream.snapshot')) this.askBesides();
    for (const event of events) {
      if (event.kind === 'notice.changed') daily.took(event.data as unknown as NoticesData);
      else if (event.kind === 'contact.presence') this.tookPresence(event.data as unknown as PresenceData);
      else this.helpAsked = helpAfter(this.helpAsked, event, this.state.viewer.extension);
    }
    if (events.some(isAboutCallbacks)) this.callbackChanges += 1;
    if (events.some(({ kind }) => kind.startsWith('override.'))) this.overrides += 1;
    if (events.some(({ kind }) => kind === 'task.changed' || kind === 'stream.snapshot')) this.taskChanges += 1;
    if (events.some(isAboutMessages)) this.messageChanges += 1;
    this.sayWhatWent(events);
    this.sayWhatFailed(events);
  }

  /** What the snapshot does not hold. */
  private askBesides(): void {
    const { role } = this.state.viewer;
    this.load(get<Page<Operator>>('/v1/operators'), (state, page) => withOperators(state, page.items));
    if (role !== 'system') {
      this.load(get<Page<SupervisionView>>('/v1/supervisions'), (state, page) => withSupervisions(state, page.items));
    }
    const own = ownCall(this.state);
    if (own) {
      this.load(get<Page<Transfer>>(`/v1/calls/${own.id}/transfers`), (state, page) =>
        page.items.reduce((now, one) => withTransfer(now, one), state),
      );
    }
    get<OperatorOptions>('/v1/operators/options').then(
      (options) => (this.options = options),
      () => undefined,
    );
  }

  /** Applies an answer, then once more the events that came while it was on its way. */
  private load<T>(asked: Promise<T>, apply: (state: DeskState, answer: T) => DeskState): void {
    this.loads += 1;
    const done = (answer?: T) => {
      this.loads -= 1;
      if (answer !== undefined && this.session) {
        const events = this.meanwhile.filter((event) => event.kind !== 'stream.snapshot');
        this.state = events.reduce(after, apply(this.state, answer));
      }
      if (!this.loads) this.meanwhile = [];
    };
    asked.then(done, () => done());
  }

  /** A pop that went away without this operator's doing is explained for a moment. */
  private sayWhatWent(events: StreamEvent[]): void {
    for (const event of events) {
      const data = event.data as { operator?: string; reason?: string; to?: string; number?: string };
      const mine = data.operator === this.state.viewer.extension;
      if (event.kind === 'call.presented' && mine) this.lastPop = this.state.calls.get(event.call ?? '');
      if (event.kind === 'call.rescinded' && mine && data.reason) {
        const account = this.lastPop?.id === event.call ? this.lastPop?.card?.account.name : undefined;
        const { reason } = data;
        this.notice('info', () => t('pop.gone', { account: account ?? '', reason: word('reason', reason) }));
      }
      // The message's route asks for who took it; supervisors have the message in their list.
      if (event.kind === 'message.unanswered' && data.to === 'taker' && this.state.viewer.role === 'operator') {
        const number = data.number ?? '';
        this.notice('error', () => t('message.unanswered_taker', { number }));
      }
    }
  }

  /** What a supervisor must see to at once, with a sound. */
  private sayWhatFailed(events: StreamEvent[]): void {
    const { role } = this.state.viewer;
    if (role !== 'supervisor' && role !== 'admin') return;
    for (const { kind, data } of events) {
      const why = alarmOf(kind, data as unknown as Partial<Message> & { to?: string });
      if (!why) continue;
      const number = String(data['number'] ?? '');
      this.messageAlarms += 1;
      this.notice('error', () => t(`message.alarm.${why}`, { number }));
    }
  }

  tick(): void {
    this.now = Date.now() + this.skew;
    if (this.live && this.recordsAt && this.now - this.recordsAt > RECORDS_FRESH_MS) void this.keepRecords();
  }

  /** An instant of the daemon's time, in milliseconds of it. */
  since(text: string | undefined | null): number {
    return text ? this.now - Date.parse(text) : 0;
  }

  // ---- Records for reading -------------------------------------------------------------------------------------

  private async keepRecords(): Promise<void> {
    const { session } = this;
    this.recordsAt = this.now;
    this.fromKept = false;
    try {
      const accounts = await all<Account>('/v1/accounts', ACCOUNTS_KEPT_MAX);
      this.accounts = new Map(accounts.map((one) => [one.id, one]));
      const contacts = await all<Contact>('/v1/contacts', CONTACTS_KEPT_MAX);
      this.contacts = grouped(contacts);
      if (session && prefs.keep && this.session?.session === session.session) {
        await writeKept({ session, accounts, contacts, options: this.options, at: Date.now() });
        await keepShell();
        performance.mark('kept');
      }
    } catch {
      // They are asked for again with the next connection.
      this.recordsAt = 0;
    }
  }

  /** The contacts of an account, as new as can be had. */
  async loadContacts(account: string): Promise<void> {
    if (!this.live) return;
    try {
      const page = await get<Page<Contact>>('/v1/contacts', { account, limit: PAGE_RECORDS });
      this.contacts = new Map(this.contacts).set(account, page.items.toSorted(byOnCallOrder));
    } catch {
      // What is there stays.
    }
  }

  private tookPresence({ account, contact, presence }: PresenceData): void {
    const known = this.contacts.get(account);
    if (!known) return;
    const now = known.map((one) => (one.id === contact ? { ...one, presence } : one));
    this.contacts = new Map(this.contacts).set(account, now);
  }

  /** Writes down where a contact is; without an end: for the rest of the day. */
  setPresence(contact: string, state: PresenceState, until: string | undefined): Promise<boolean> {
    return this.order(async () => {
      const { id, account, presence } = await put<Contact>(`/v1/contacts/${contact}/presence`, { state, until });
      if (presence) this.tookPresence({ account, contact: id, presence });
    });
  }

  async loadAccount(id: string): Promise<void> {
    if (!this.live) return;
    try {
      // Read after the answer: what came meanwhile stays, and who calls this in an effect does not follow the accounts.
      const account = await get<Account>(`/v1/accounts/${id}`);
      this.accounts = new Map(this.accounts).set(id, account);
    } catch {
      // What is there stays.
    }
  }

  // ---- Orders --------------------------------------------------------------------------------------------------

  /** Does it if the connection is there; says so if not, or if the daemon refuses. True when it was done. */
  async order(act: () => Promise<unknown>, needsPbx = false): Promise<boolean> {
    if (!this.live) return this.refuse('order.refused_link');
    if (needsPbx && this.pbxDown) return this.refuse('order.refused_pbx');
    try {
      await act();
      return true;
    } catch (error) {
      this.sayProblem(error);
      return false;
    }
  }

  callOrder(call: Call, verb: 'answer' | 'hold' | 'resume' | 'hangup'): Promise<boolean> {
    const { extension = '' } = this.state.viewer;
    const isPhones = PHONES_OWN.has(verb);
    const act = () =>
      post(`/v1/calls/${call.id}/${verb}`).then(
        () => {
          if (isPhones) this.byHand = '';
        },
        (error: unknown) => {
          // A request to the phone, which most phones refuse.
          const isRefused = isPhones && error instanceof ApiError && ['pbx-refused', 'phone-did-not-follow'].includes(error.type);
          if (!isRefused) throw error;
          this.byHand = extension;
          throw new ApiError(error.status, 'phone-did-not-follow', error.detail);
        },
      );
    return this.order(act, true);
  }

  /** What is offered for the call: what the phone has refused is left to its handset and keys. */
  offers(call: Call): ReadonlySet<Order> {
    const may = allowed(this.state, call);
    return this.isByHand ? new Set([...may].filter((order) => !PHONES_OWN.has(order))) : may;
  }

  /** Asks the supervisors for help, or takes that back. */
  async askForHelp(call: Call): Promise<void> {
    const path = `/v1/calls/${call.id}/help`;
    const isAsked = this.helpAsked?.call === call.id;
    if (!(await this.order(() => (isAsked ? remove(path) : post(path))))) return;
    this.helpAsked = isAsked ? undefined : { call: call.id, at: this.now };
    this.say(isAsked ? 'order.help_withdrawn' : 'order.help_sent');
  }

  transfer(call: Call, to: string, mode: 'blind' | 'consult', override_rules = false): Promise<boolean> {
    // The events tell what becomes of it; the answer may come after all of them.
    const rules = override_rules ? { override_rules } : {};
    return this.order(() => post(`/v1/calls/${call.id}/transfers`, { mode, to, ...rules }), true);
  }

  settleTransfer(call: Call, verb: 'complete' | 'cancel'): Promise<boolean> {
    const transfer = this.state.transfers.get(call.id);
    return transfer ? this.order(() => post(`/v1/transfers/${transfer.id}/${verb}`), true) : Promise.resolve(false);
  }

  /** Takes the caller back who was passed on and has not reached anybody. */
  takeBack(): Promise<boolean> {
    const id = this.passedOn?.id;
    return id ? this.order(() => post(`/v1/transfers/${id}/cancel`), true) : Promise.resolve(false);
  }

  setState(who: Operator, state: string, reason?: string, extension?: string): Promise<boolean> {
    const { version } = who;
    return this.order(() =>
      put(`/v1/operators/${who.id}/state`, {
        state,
        version,
        desktop: DESKTOP_NAME,
        ...(reason ? { reason } : {}),
        ...(extension ? { extension } : {}),
      }),
    );
  }

  finishWrapUp(who: Operator, call: string, disposition: string, notes: string): Promise<boolean> {
    return this.order(() =>
      post(`/v1/operators/${who.id}/wrap-up/finish`, {
        call,
        disposition,
        desktop: DESKTOP_NAME,
        ...(notes ? { notes } : {}),
      }),
    );
  }

  extendWrapUp(who: Operator, call: string, seconds: number, reason: string): Promise<boolean> {
    return this.order(() =>
      post(`/v1/operators/${who.id}/wrap-up/extend`, { call, seconds, reason, desktop: DESKTOP_NAME }),
    );
  }

  supervise(operator: string, mode: string): Promise<boolean> {
    const { extension } = this.state.viewer;
    const running = [...this.state.supervisions.values()].find((one) => one.extension === extension);
    if (running && running.operator === operator) {
      return this.order(() => patch(`/v1/supervisions/${running.id}`, { mode }), true);
    }
    return this.order(() => post('/v1/supervisions', { operator, mode }), true);
  }

  stopSupervision(id: string): Promise<boolean> {
    return this.order(() => remove(`/v1/supervisions/${id}`), true);
  }

  /** A message that this page has made or changed, as the daemon answered. */
  tookMessage(message: Message): void {
    this.state = withMessage(this.state, message);
  }

  dismissHelp(key: string): void {
    this.state = withoutHelp(this.state, key);
  }

  /** Makes a customer's record of the account of this call, and shows it there. */
  createCustomer(call: string, account: string, record: CustomerDraft): Promise<boolean> {
    const { number, company, department, notes, ...names } = record;
    const filled = Object.entries({ company, department, notes }).filter(([, text]) => text.trim());
    const fields = { account, ...names, ...Object.fromEntries(filled), numbers: number.trim() ? [number.trim()] : [] };
    return this.order(async () => {
      const made = await post<Customer>('/v1/customers', fields);
      const { id, name, kana = '', company, department, notes, flags = [] } = made;
      this.choose(call, { id, name, kana, company, department, notes, flags });
      this.say('customer.saved', { name });
    });
  }

  /** Puts a call that rings before the others. */
  prefer(call: string): void {
    this.preferred = call;
  }

  choose(call: string, customer: CustomerView): void {
    const kept = [...this.chosen].slice(-50);
    this.chosen = new Map(kept).set(call, customer);
  }

  /** Says that the pop was painted. A daemon without that interface, or a call that is over, is no error. */
  acknowledge(call: string, event: string | undefined): void {
    post(`/v1/calls/${call}/ack`, event ? { event } : {}).catch(() => undefined);
  }

  // ---- What the page says to the person ------------------------------------------------------------------------

  say(key: Key, values: Record<string, string | number> = {}): void {
    this.notice('info', () => t(key, values));
  }

  drop(id: number): void {
    this.notices = this.notices.filter((one) => one.id !== id);
  }

  refuse(key: Key, values: Record<string, string | number> = {}): false {
    this.notice('error', () => t(key, values));
    return false;
  }

  private sayProblem(error: unknown): void {
    const { type, detail } = error instanceof ApiError ? error : { type: 'unreachable', detail: '' };
    this.sayRefusal(type, detail);
  }

  /** Why the daemon refuses something. */
  sayRefusal(type: string, detail = ''): void {
    const isKnown = word('problem', type) !== type;
    // What the page has words for needs none of the server's, which are English.
    if (detail && word('refusal', detail) !== detail) this.notice('error', () => word('refusal', detail));
    else if (isKnown) this.notice('error', () => word('problem', type));
    else this.notice('error', () => t('problem.other', { type }), detail);
  }

  private notice(kind: Notice['kind'], text: Notice['text'], detail = ''): void {
    this.noticed += 1;
    const id = this.noticed;
    const others = this.notices.filter((one) => one.text() !== text());
    this.notices = [...others, { id, text, detail, kind }].slice(-NOTICES_MAX);
    setTimeout(() => this.drop(id), kind === 'info' ? NOTICE_MS : NOTICE_ERROR_MS);
  }
}

/** The telephone's keys ask for help, too; a supervisor who listened has helped. */
function helpAfter(asked: HelpAsked | undefined, event: StreamEvent, extension: string | undefined): HelpAsked | undefined {
  const { kind, call, at, data } = event;
  if (!call || data['operator'] !== extension) return asked;
  if (kind === 'help.requested') return { call, at: Date.parse(at) };
  return (kind === 'help.withdrawn' || kind === 'supervision.stopped') && asked?.call === call ? undefined : asked;
}

const isAboutMessages = ({ kind }: StreamEvent): boolean =>
  kind.startsWith('message.') || kind === 'bounce.unmatched' || kind === 'stream.snapshot';

const isAboutCallbacks = ({ kind, data }: StreamEvent): boolean =>
  kind === 'callback.changed' || kind === 'stream.snapshot' || (kind === 'call.ended' && data['outcome'] === 'abandoned');

async function all<T>(path: string, most: number): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const page: Page<T> = await get<Page<T>>(path, { limit: PAGE_RECORDS, cursor });
    items.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor && items.length < most);
  return items;
}

function grouped(contacts: Contact[]): ReadonlyMap<string, readonly Contact[]> {
  const groups = new Map<string, Contact[]>();
  for (const contact of contacts.toSorted(byOnCallOrder)) {
    const group = groups.get(contact.account);
    if (group) group.push(contact);
    else groups.set(contact.account, [contact]);
  }
  return groups;
}

function byOnCallOrder(a: Contact, b: Contact): number {
  return (a.on_call_order ?? LAST) - (b.on_call_order ?? LAST) || a.name.localeCompare(b.name, 'ja');
}

export const desk = new Desk();
