// What of the state a person looks at, and what they may do now. Pure, like the state.

import type { QueueFault, Transfer } from '../api/types.ts';
import type { Call, DeskState, Operator } from './state.ts';

export type Order =
  | 'answer'
  | 'hold'
  | 'resume'
  | 'hangup'
  | 'transfer'
  | 'complete'
  | 'cancel'
  | 'help';

/** States of a transfer in which nothing more is to be done about it. */
const SETTLED = new Set<Transfer['state']>(['completed', 'over']);

/** The call that this person has. */
export function ownCall(state: DeskState): Call | undefined {
  const { extension } = state.viewer;
  return extension ? [...state.calls.values()].find((call) => call.operator === extension) : undefined;
}

/** The calls that ring at this person's phone, the longest first. */
export function ownPops(state: DeskState): Call[] {
  const { extension } = state.viewer;
  if (!extension) return [];
  const ringing = [...state.calls.values()].filter(
    (call) => call.operator !== extension && call.presented_to.includes(extension),
  );
  return ringing.sort((a, b) => order(a.offered_at, b.offered_at) || order(a.id, b.id));
}

/** The transfer that is on its way. */
export function openTransfer(state: DeskState, call: Call): Transfer | undefined {
  const transfer = state.transfers.get(call.id);
  return transfer && !SETTLED.has(transfer.state) ? transfer : undefined;
}

/** States of a transfer in which the caller has not reached anybody yet. */
const ON_ITS_WAY = new Set<Transfer['state']>(['requested', 'trying', 'ringing']);
/** Among so many calls, the latest, one may be on its way. */
const LATEST = 5;

/** The transfer by which this person let a caller go, and that can still be taken back. */
export function passedOn(state: DeskState): Transfer | undefined {
  const { extension } = state.viewer;
  const all = [...state.transfers.values(), ...state.past.slice(0, LATEST).map((call) => call.transfer)];
  return all.find((one) => one?.mode === 'blind' && one.operator === extension && ON_ITS_WAY.has(one.state));
}

/** What the daemon would accept from this person for this call, as things are. */
export function allowed(state: DeskState, call: Call): ReadonlySet<Order> {
  const { extension } = state.viewer;
  if (!extension || !state.calls.has(call.id)) return new Set();
  if (call.operator !== extension) {
    return new Set(call.presented_to.includes(extension) ? ['answer'] : []);
  }
  const transfer = openTransfer(state, call);
  const orders = new Set<Order>(['help']);
  if (transfer) {
    if (transfer.mode === 'consult' && transfer.state === 'consulting') orders.add('complete');
    if (transfer.state !== 'returning') orders.add('cancel');
    return orders;
  }
  orders.add('hangup');
  if (call.state === 'held') orders.add('resume').add('transfer');
  if (call.state === 'answered') orders.add('hold').add('transfer');
  return orders;
}

/** Since when a caller is where they are now: a new call since it came in, another one since that began. */
export function sinceWhen(call: Call): string {
  const isNew = call.state === 'offered' || call.state === 'presented';
  return isNew ? call.offered_at : (call.since ?? call.offered_at);
}

/** Calls that nobody has, the longest first: new ones, and callers who were parked. */
export function waitingCalls(state: DeskState): Call[] {
  return withoutOperator(state, ['offered', 'presented', 'parked']);
}

/** Calls whose caller is with somebody who is not an operator, or with the PBX itself, the longest first. */
export function callsElsewhere(state: DeskState): Call[] {
  return withoutOperator(state, ['elsewhere', 'transferred']);
}

function withoutOperator(state: DeskState, states: readonly Call['state'][]): Call[] {
  const calls = [...state.calls.values()].filter((call) => !call.operator && states.includes(call.state));
  return calls.sort((a, b) => order(sinceWhen(a), sinceWhen(b)) || order(a.id, b.id));
}

/** The call at each extension: the one that it has, else the one that rings there. */
export function callsByExtension(state: DeskState): Map<string, Call> {
  const calls = new Map<string, Call>();
  for (const call of state.calls.values()) {
    for (const extension of call.presented_to) if (!calls.has(extension)) calls.set(extension, call);
  }
  for (const call of state.calls.values()) if (call.operator) calls.set(call.operator, call);
  return calls;
}

/** What the PBX refuses at its queues: each refusal once, with everybody whom it concerns. */
export function faultsOf(people: readonly Operator[]): { fault: QueueFault; names: string[] }[] {
  const found = new Map<string, { fault: QueueFault; names: string[] }>();
  for (const person of people) {
    for (const fault of person.queue_faults ?? []) {
      const key = JSON.stringify([fault.queue, fault.setting, fault.message]);
      const known = found.get(key) ?? { fault, names: [] };
      known.names.push(person.name ?? person.extension ?? '');
      found.set(key, known);
    }
  }
  return [...found.values()];
}

/** Who sits at this extension; the extension where nobody is known to. */
export function nameAt(state: DeskState, extension: string): string {
  return [...state.operators.values()].find((one) => one.extension === extension)?.name ?? extension;
}

export function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
