// What the page knows, as a pure function of the stream: a snapshot, then events.
//
// Invariant: for any events and any cut, the snapshot at the cut and the events after it lead to what all events
// lead to (`tests/state.test.ts` proves it over random stories). Nothing here asks for the time, the network or
// the page; an event of an unknown kind, or about an unknown call, changes nothing that is shown.
//
// | event | what it changes |
// |---|---|
// | stream.snapshot | calls and links are these and no others; what is about calls that are gone goes |
// | call.offered, .queued, .guidance, .presented, .rescinded, .announced, .answered, .held, .resumed, .updated, .ended | that call |
// | call.transfer.* | that call's transfer |
// | message.* | that message |
// | call.disposed | what an operator recorded about that call |
// | operator.state, operator.removed, supervision.*, help.*, pop.unacknowledged, pbx.* | what they name |
//
// A call that no longer concerns this person is forgotten at once, whatever else happens to it.

import type {
  CallView,
  Card,
  CardData,
  Direction,
  EndedData,
  OperatorState,
  Message,
  Outcome,
  Role,
  PbxStatus,
  RecordedWrapUp,
  SnapshotData,
  StreamEvent,
  SupervisionData,
  SupervisionView,
  Transfer,
} from '../api/types.ts';

/** Calls that are over and still shown in the list of what was done. */
const PAST_CALLS_MAX = 100;
/** Messages that events brought, the latest of which are kept. */
const MESSAGES_MAX = 200;
/** Calls for which events brought what was recorded, the latest of which are kept. */
const RECORDED_MAX = 200;

/** Events that tell how a call waits or where it no longer rings, and not whose it is. */
const BESIDE: ReadonlySet<string> = new Set(['call.queued', 'call.guidance', 'call.announced', 'call.rescinded']);

export interface Viewer {
  id: string;
  role: Role;
  /** The phone at which they sit now. */
  extension: string | undefined;
}

/** The state of a person, with the fields of their record as far as they were asked for. */
export interface Operator extends OperatorState {
  kana?: string;
  role?: Role;
  team?: string | null;
}

export interface Call extends CallView {
  /** The event that presented it, by operator: what an acknowledgement names. */
  pops: Readonly<Record<string, string>>;
  /** When it became what it is; absent when the snapshot does not tell. */
  since?: string;
  /** Why the caller came back from a transfer. */
  back?: Transfer;
}

export interface PastCall {
  id: string;
  /** Nothing where the page itself saw it: from the outside. */
  direction?: Direction;
  card: Card | undefined;
  offered_at: string;
  answered_at?: string;
  ended_at?: string;
  outcome?: Outcome;
  /** Why the pop went away, when somebody else or nobody took the call. */
  reason?: string;
  operators: readonly string[];
  /** What became of the caller who was passed on. */
  transfer?: Transfer;
  /** What operators had recorded about it when the daemon was asked. */
  wrap_ups?: readonly RecordedWrapUp[];
}

export interface Help {
  call: string;
  operator: string;
  at: string;
  card: Card | undefined;
}

/** A pop of which nobody said that it was on a screen. */
export interface Unseen {
  call: string;
  operator: string;
  at: string;
  /** `no_desktop` or `not_confirmed`. */
  reason: string;
}

export interface DeskState {
  viewer: Viewer;
  calls: ReadonlyMap<string, Call>;
  transfers: ReadonlyMap<string, Transfer>;
  supervisions: ReadonlyMap<string, SupervisionView>;
  /** By record. */
  operators: ReadonlyMap<string, Operator>;
  help: ReadonlyMap<string, Help>;
  unseen: ReadonlyMap<string, Unseen>;
  /** Those that events brought, as they are now. */
  messages: ReadonlyMap<string, Message>;
  /** What operators recorded, as events brought it, by call. */
  recorded: ReadonlyMap<string, readonly RecordedWrapUp[]>;
  pbx: ReadonlyMap<string, PbxStatus>;
  /** Newest first. */
  past: readonly PastCall[];
}

export function emptyDesk(viewer: Viewer): DeskState {
  return {
    viewer,
    calls: new Map(),
    transfers: new Map(),
    supervisions: new Map(),
    operators: new Map(),
    help: new Map(),
    unseen: new Map(),
    messages: new Map(),
    recorded: new Map(),
    pbx: new Map(),
    past: [],
  };
}

/** The state after this event. */
export function after(state: DeskState, event: StreamEvent): DeskState {
  const { kind } = event;
  if (kind === 'stream.snapshot') return afterSnapshot(state, event.data as unknown as SnapshotData);
  if (kind.startsWith('call.transfer.')) return afterTransfer(state, event.data as unknown as Transfer);
  if (kind === 'call.disposed') return afterRecorded(state, event);
  if (kind.startsWith('call.')) return afterCall(state, event);
  if (kind.startsWith('supervision.')) return afterSupervision(state, kind, event.data as unknown as SupervisionData);
  if (kind.startsWith('pbx.')) return afterPbx(state, event);
  if (kind === 'help.requested') return afterHelp(state, event);
  if (kind === 'help.withdrawn') return withoutHelp(state, helpKey(event.call ?? '', (event.data as CardData).operator ?? ''));
  if (kind.startsWith('message.')) return withMessage(state, event.data as unknown as Message);
  if (kind === 'pop.unacknowledged') return afterUnseen(state, event);
  if (kind === 'operator.removed') return withoutOperator(state, (event.data as { id?: string }).id ?? '');
  if (kind === 'operator.state') return withOperator(state, event.data as unknown as OperatorState);
  return state;
}

// ---- What was asked for besides the stream ---------------------------------------------------------------------

/** Everybody whom this person may see. What an event brought meanwhile is newer. */
export function withOperators(state: DeskState, people: readonly Operator[]): DeskState {
  const listed = people.map((one) => {
    const known = state.operators.get(one.id);
    const newer = known && known.version > one.version ? known : {};
    return [one.id, { ...one, ...newer }] as const;
  });
  return seated({ ...state, operators: new Map(listed) });
}

function withOperator(state: DeskState, now: OperatorState): DeskState {
  const known = state.operators.get(now.id);
  const who = known ? { kana: known.kana, role: known.role, team: known.team } : {};
  return seated({ ...state, operators: put(state.operators, now.id, { ...who, ...now }) });
}

function withoutOperator(state: DeskState, id: string): DeskState {
  return { ...state, operators: without(state.operators, id) };
}

/** The person may sit at another phone than the day before. */
function seated(state: DeskState): DeskState {
  const { viewer } = state;
  const own = state.operators.get(viewer.id);
  const extension = own ? (own.extension ?? undefined) : viewer.extension;
  return extension === viewer.extension ? state : { ...state, viewer: { ...viewer, extension } };
}

export function withSupervisions(state: DeskState, all: readonly SupervisionView[]): DeskState {
  return { ...state, supervisions: new Map(all.map((one) => [one.id, one])) };
}

export function withTransfer(state: DeskState, transfer: Transfer): DeskState {
  return afterTransfer(state, transfer);
}

/** An older word about a message never covers a newer one. */
export function withMessage(state: DeskState, message: Message): DeskState {
  const known = state.messages.get(message.id);
  if (!message.id || (known && known.version >= message.version)) return state;
  const kept = [...without(state.messages, message.id)].slice(1 - MESSAGES_MAX);
  return { ...state, messages: new Map([...kept, [message.id, message]]) };
}

export function withoutHelp(state: DeskState, key: string): DeskState {
  return state.help.has(key) ? { ...state, help: without(state.help, key) } : state;
}

export const helpKey = (call: string, operator: string): string => `${call} ${operator}`;

// ---- The stream ------------------------------------------------------------------------------------------------

function afterSnapshot(state: DeskState, data: SnapshotData): DeskState {
  const calls = new Map<string, Call>();
  for (const view of data.calls) {
    const before = state.calls.get(view.id);
    const same = before?.state === view.state && before?.operator === view.operator;
    calls.set(view.id, {
      ...view,
      pops: before?.pops ?? {},
      ...(same && before?.since ? { since: before.since } : {}),
      ...(before?.back ? { back: before.back } : {}),
    });
  }
  let { past } = state;
  for (const gone of state.calls.values()) {
    if (!calls.has(gone.id)) past = remembered(past, state.viewer, gone, {});
  }
  const live = (call: string | null | undefined) => !call || calls.has(call);
  const people = (data.operators ?? []).reduce(withOperator, state);
  return {
    ...people,
    calls,
    past,
    pbx: new Map(data.pbx.map((one) => [one.id, one])),
    transfers: filtered(state.transfers, (_, call) => live(call)),
    help: filtered(state.help, (one) => live(one.call)),
    unseen: filtered(state.unseen, (one) => rings(calls.get(one.call), one.operator)),
  };
}

const rings = (call: Call | undefined, operator: string): boolean => Boolean(call?.presented_to.includes(operator));

function afterCall(state: DeskState, event: StreamEvent): DeskState {
  const id = event.call;
  if (!id) return state;
  const before = state.calls.get(id);
  if (event.kind === 'call.ended') return afterEnd(state, before, id, event.data as unknown as EndedData);
  // They do not tell of a call that nobody here sees.
  if (!before && BESIDE.has(event.kind)) return state;
  const now = changed(before ?? begun(id, event), event);
  if (!now) return state;
  if (!concerns(state, now)) {
    if (!before) return state;
    return forget({ ...state, past: remembered(state.past, state.viewer, before, ending(state, before, event)) }, id);
  }
  const unseen = filtered(state.unseen, (one) => one.call !== id || rings(now, one.operator));
  // Who takes the caller who came back may pass them on again; only this event says that the old transfer is over.
  const back = event.kind === 'call.answered' && state.transfers.get(id)?.state === 'returning';
  const transfers = back ? without(state.transfers, id) : state.transfers;
  return { ...state, calls: put(state.calls, id, now), unseen, transfers };
}

/** A call of which this event is the first. */
function begun(id: string, event: StreamEvent): Call {
  return {
    id,
    pbx: event.pbx ?? '',
    direction: 'inbound',
    state: 'offered',
    offered_at: event.at,
    presented_to: [],
    pops: {},
  };
}

/** The call after the event; nothing when the event does not tell how it is. */
function changed(call: Call, event: StreamEvent): Call | undefined {
  const data = event.data as CardData;
  const operator = data.operator ?? undefined;
  const known: Call = {
    ...call,
    ...(data.offered_at ? { offered_at: data.offered_at } : {}),
    ...(data.answered_at ? { answered_at: data.answered_at } : {}),
    ...(data.inferred ? { inferred: true } : {}),
    ...(cardOf(data) ?? {}),
  };
  if (data.queue) known.queue = data.queue;
  else delete known.queue;
  if (data.treatment) known.treatment = data.treatment;
  else delete known.treatment;
  if (data.guidance) known.guidance = data.guidance;
  else delete known.guidance;
  const at = (now: Call, state: Call['state']): Call =>
    state === call.state && call.since ? { ...now, state, since: call.since } : { ...now, state, since: event.at };
  switch (event.kind) {
    case 'call.offered':
      return at(known, data.state ?? 'offered');
    case 'call.presented': {
      if (!operator) return undefined;
      const presented = known.presented_to.includes(operator) ? known.presented_to : [...known.presented_to, operator];
      const popped = { ...known, presented_to: presented, pops: { ...known.pops, [operator]: event.id } };
      if (data.transfer) popped.back = data.transfer;
      // Who took it over has it from this event on.
      if (data.had_by) popped.operator = data.had_by;
      return at(popped, data.state ?? (known.operator ? known.state : 'presented'));
    }
    case 'call.rescinded': {
      const left = known.presented_to.filter((one) => one !== operator);
      const nobody = left.length === 0 && known.state === 'presented';
      return at({ ...known, presented_to: left }, data.state ?? (nobody ? 'offered' : known.state));
    }
    case 'call.answered': {
      if (!operator) return undefined;
      const left = known.presented_to.filter((one) => one !== operator);
      const answered = { ...known, operator, presented_to: left, answered_at: known.answered_at ?? event.at };
      return { ...at(answered, data.state ?? 'answered'), since: event.at };
    }
    case 'call.held':
      return at(known, data.state ?? 'held');
    case 'call.resumed':
      return at(known, data.state ?? 'answered');
    case 'call.queued':
    case 'call.guidance':
    case 'call.announced':
      return at(known, data.state ?? known.state);
    case 'call.updated': {
      const places = data.presented_to ? { presented_to: data.presented_to, operator } : {};
      return at({ ...known, ...places }, data.state ?? known.state);
    }
    default:
      return undefined;
  }
}

function cardOf(data: CardData): { card: Card } | undefined {
  const { caller, account, customers, history } = data;
  if (!caller || !account || !customers || !history) return undefined;
  const card: Card = { caller, account, customers, history };
  if (data.dialled) card.dialled = data.dialled;
  if (data.diverted_by) card.diverted_by = data.diverted_by;
  if (data.link) card.link = data.link;
  if (data.script) card.script = data.script;
  return { card };
}

/** How a call ended for this person that they no longer see after this event. */
function ending(state: DeskState, call: Call, event: StreamEvent): Partial<PastCall> {
  const { reason } = event.data as { reason?: string };
  const transfer = state.transfers.get(call.id);
  if (transfer) return { transfer };
  if (reason) return { reason };
  // Who had it answered it, whatever became of it.
  return call.operator ? { outcome: 'answered', ended_at: event.at } : { reason: 'answered_elsewhere' };
}

function afterEnd(state: DeskState, call: Call | undefined, id: string, data: EndedData): DeskState {
  if (!call) return state;
  const transfer = state.transfers.get(id);
  const past = remembered(state.past, state.viewer, call, {
    ...(transfer ? { transfer } : {}),
    outcome: data.outcome,
    ...(data.ended_at ? { ended_at: data.ended_at } : {}),
    operators: data.operators,
  });
  return forget({ ...state, past }, id);
}

function afterTransfer(state: DeskState, transfer: Transfer): DeskState {
  const isHere = state.calls.has(transfer.call);
  const transfers = isHere ? put(state.transfers, transfer.call, transfer) : state.transfers;
  // The caller has left, and may be back; what became of them still belongs to what was done.
  if (!state.past.some((one) => one.id === transfer.call)) return isHere ? { ...state, transfers } : state;
  const past = state.past.map((one) => (one.id === transfer.call ? { ...one, transfer } : one));
  return { ...state, transfers, past };
}

/** Whether both are of one piece of after-call work: a person whose caller came back has two for one call. */
export const isSameWork = (a: RecordedWrapUp, b: RecordedWrapUp): boolean => a.user === b.user && a.since === b.since;

/** Notes and disposition may come one after the other; the later event has the last word on what it names. */
function afterRecorded(state: DeskState, event: StreamEvent): DeskState {
  const recorded = event.data as unknown as RecordedWrapUp;
  if (!event.call || !recorded.user) return state;
  const { user, name, disposition, notes, since, ended_at } = recorded;
  const known = state.recorded.get(event.call) ?? [];
  const before = known.find((one) => isSameWork(one, recorded));
  const now: RecordedWrapUp = { ...before, user, since, ended_at };
  if (name) now.name = name;
  if (disposition) now.disposition = disposition;
  if (notes) now.notes = notes;
  const kept = [...without(state.recorded, event.call)].slice(1 - RECORDED_MAX);
  const all = [...known.filter((one) => one !== before), now];
  return { ...state, recorded: new Map([...kept, [event.call, all]]) };
}

function afterSupervision(state: DeskState, kind: string, data: SupervisionData): DeskState {
  if (kind === 'supervision.stopped') return { ...state, supervisions: without(state.supervisions, data.id) };
  const answered = data.call && data.operator ? helpKey(data.call, data.operator) : '';
  return {
    ...state,
    supervisions: put(state.supervisions, data.id, data),
    help: state.help.has(answered) ? without(state.help, answered) : state.help,
  };
}

function afterPbx(state: DeskState, event: StreamEvent): DeskState {
  const id = event.pbx;
  if (!id || (event.kind !== 'pbx.up' && event.kind !== 'pbx.down')) return state;
  return { ...state, pbx: put(state.pbx, id, { id, up: event.kind === 'pbx.up', since: event.at }) };
}

function afterHelp(state: DeskState, event: StreamEvent): DeskState {
  const { operator } = event.data as CardData;
  if (!event.call || !operator) return state;
  const card = cardOf(event.data as CardData)?.card;
  const help: Help = { call: event.call, operator, at: event.at, card };
  return { ...state, help: put(state.help, helpKey(event.call, operator), help) };
}

function afterUnseen(state: DeskState, event: StreamEvent): DeskState {
  const { operator, reason } = event.data as { operator?: string; reason?: string };
  if (!event.call || !operator || !rings(state.calls.get(event.call), operator)) return state;
  const unseen: Unseen = { call: event.call, operator, at: event.at, reason: reason ?? '' };
  return { ...state, unseen: put(state.unseen, helpKey(event.call, operator), unseen) };
}

// ---- Visibility and what is kept --------------------------------------------------------------------------------

/** Whether this person may see a call, by the daemon's own rule. */
function concerns(state: DeskState, call: Call): boolean {
  const { role, extension } = state.viewer;
  if (role === 'admin' || role === 'system') return true;
  const operators = [...call.presented_to, ...(call.operator ? [call.operator] : [])];
  // It rings at somebody or somebody has it, and it is none of those whom this person may see.
  const taken = call.state === 'presented' || call.state === 'answered' || call.state === 'held';
  if (operators.length === 0) return role === 'supervisor' && !taken;
  if (operators.some((one) => one === extension)) return true;
  if (role === 'operator') return false;
  // Before the team is known everything that the daemon tells is believed.
  const team = [...state.operators.values()];
  return team.length === 0 || team.some((one) => one.extension && operators.includes(one.extension));
}

function forget(state: DeskState, call: string): DeskState {
  return {
    ...state,
    calls: without(state.calls, call),
    transfers: without(state.transfers, call),
    help: filtered(state.help, (one) => one.call !== call),
    unseen: filtered(state.unseen, (one) => one.call !== call),
  };
}

function remembered(
  past: readonly PastCall[],
  viewer: Viewer,
  call: Call,
  more: Partial<PastCall>,
): readonly PastCall[] {
  const own = call.operator === viewer.extension || call.presented_to.includes(viewer.extension ?? '');
  if (viewer.role === 'operator' && !own) return past;
  const operators = call.operator ? [call.operator] : [];
  const { id, card, offered_at, answered_at } = call;
  const one: PastCall = { id, card: card ?? undefined, offered_at, operators, ...more };
  if (answered_at) one.answered_at = answered_at;
  return [one, ...past.filter((other) => other.id !== id)].slice(0, PAST_CALLS_MAX);
}

function put<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value);
}

function without<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
  if (!map.has(key)) return map;
  const less = new Map(map);
  less.delete(key);
  return less;
}

function filtered<K, V>(map: ReadonlyMap<K, V>, keep: (value: V, key: K) => boolean): ReadonlyMap<K, V> {
  if (!map.size) return map;
  return new Map([...map].filter(([key, value]) => keep(value, key)));
}
