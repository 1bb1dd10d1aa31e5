// A small telephone system for tests: random calls, told by the daemon's rules of who may see what.

import type { CallView, StreamEvent } from '../src/api/types.ts';
import type { Viewer } from '../src/desk/state.ts';

/** Numbers that look random and are the same in each run. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export interface Told {
  /** What happened, as this viewer is told; nothing when it is not for her. */
  event: StreamEvent | undefined;
  /** What a snapshot would show her afterwards. */
  snapshot: StreamEvent;
}

type Seen = (view: Partial<CallView>) => boolean;

const TEAM = ['1001', '1002', '2001'];
const EVERYBODY = [...TEAM, '1003'];

function sight(viewer: Viewer): { sees: (extension: string) => boolean; call: Seen } {
  const all = viewer.role === 'admin';
  const sees = (one: string) =>
    all || one === viewer.extension || (viewer.role === 'supervisor' && TEAM.includes(one));
  const call: Seen = (view) => {
    const operators = [...(view.presented_to ?? []), ...(view.operator ? [view.operator] : [])];
    return operators.length ? operators.some(sees) : all || viewer.role === 'supervisor';
  };
  return { sees, call };
}

/** A story of `steps` steps, as `viewer` is told it. */
export function story(seed: number, steps: number, viewer: Viewer): Told[] {
  const next = random(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
  const calls = new Map<string, CallView>();
  const mine = sight(viewer);
  const told: Told[] = [];
  let clock = 0;
  let calls_made = 0;
  const time = () => new Date(Date.UTC(2026, 0, 5) + clock * 1000).toISOString();

  const tell = (kind: string, view: CallView, audience: string[] | 'supervisors', data: object, before?: CallView) => {
    clock += 1;
    const gone = kind === 'call.ended';
    if (gone) calls.delete(view.id);
    else calls.set(view.id, view);
    const named = audience === 'supervisors' ? viewer.role !== 'operator' : audience.some(mine.sees);
    const left = before !== undefined && mine.call(before) && (gone || !mine.call(view));
    const id = `t1-${clock}`;
    const waits = { ...(view.queue ? { queue: view.queue } : {}), ...(view.guidance ? { guidance: view.guidance } : {}) };
    const state = gone ? {} : { state: view.state, ...waits };
    const event: StreamEvent = { id, kind, at: time(), pbx: 'p', call: view.id, data: { ...state, ...data } };
    const snapshot: StreamEvent = {
      id,
      kind: 'stream.snapshot',
      at: time(),
      data: { pbx: [], calls: [...calls.values()].filter(mine.call) },
    };
    told.push({ event: named || left ? event : undefined, snapshot });
  };

  const card = (call: CallView, number: string): CallView => ({
    ...call,
    card: {
      caller: { number, presentation: 'allowed' },
      account: { name: `会社${number}`, kana: '', answer_phrase: '', notes: '', matched_by: 'dialled' },
      customers: [],
      history: { calls: 0, open_messages: 0 },
    },
  });
  const shown = (call: CallView) => ({ ...call.card, offered_at: call.offered_at });

  const steps_of: Record<string, (call: CallView) => void> = {
    present(call) {
      const operator = pick(EVERYBODY);
      if (call.presented_to.includes(operator) || call.operator === operator) return;
      const state = call.operator ? call.state : 'presented';
      const view: CallView = { ...call, presented_to: [...call.presented_to, operator], state };
      tell('call.presented', view, [operator], { operator, ...shown(view) }, call);
    },
    rescind(call) {
      const operator = call.presented_to[0];
      const left = call.presented_to.slice(1);
      // The daemon does not tell one team's supervisors when a call stops ringing at another team's phones.
      if (!operator || (!left.length && !TEAM.includes(operator))) return;
      const view: CallView = { ...call, presented_to: left };
      if (!call.operator && !left.length && call.state === 'presented') view.state = 'offered';
      tell('call.rescinded', view, [operator], { operator, reason: 'no_answer' }, call);
    },
    answer(call) {
      const operator = call.presented_to[0];
      // Who takes a call from somebody is the only one whom it rings at.
      if (!operator || (call.operator && call.presented_to.length > 1)) return;
      const answered_at = call.answered_at ?? at(clock + 1);
      const answered: CallView = { ...call, operator, state: 'answered', answered_at };
      delete answered.queue;
      delete answered.guidance;
      answered.presented_to = call.presented_to.slice(1);
      tell('call.answered', answered, [operator], { operator, answered_at }, call);
      for (const loser of call.presented_to.slice(1)) {
        const before = calls.get(call.id) as CallView;
        const view = { ...before, presented_to: before.presented_to.filter((one) => one !== loser) };
        tell('call.rescinded', view, [loser], { operator: loser, reason: 'answered_elsewhere' }, before);
      }
    },
    queue(call) {
      if (call.operator) return;
      const view: CallView = { ...call, queue: { name: `q${clock}`, since: time(), position: 1 } };
      delete view.guidance;
      tell('call.queued', view, view.presented_to.length ? view.presented_to : 'supervisors', {}, call);
    },
    guide(call) {
      if (call.operator) return;
      const view: CallView = { ...call, guidance: `sound${clock}` };
      delete view.queue;
      tell('call.guidance', view, view.presented_to.length ? view.presented_to : 'supervisors', {}, call);
    },
    hold(call) {
      if (!call.operator) return;
      const held = call.state !== 'held';
      const view: CallView = { ...call, state: held ? 'held' : 'answered' };
      tell(held ? 'call.held' : 'call.resumed', view, [call.operator], { operator: call.operator }, call);
    },
    update(call) {
      const view = card(call, `0${Math.floor(next() * 1e9)}`);
      const operators = [...view.presented_to, ...(view.operator ? [view.operator] : [])];
      const data = { ...shown(view), presented_to: view.presented_to, operator: view.operator };
      tell('call.updated', view, operators.length ? operators : 'supervisors', data, call);
    },
    leave(call) {
      if (!call.operator) return;
      const view: CallView = { ...call, operator: null, state: 'transferred' };
      const data = { ...shown(view), presented_to: view.presented_to };
      tell('call.updated', view, view.presented_to.length ? view.presented_to : 'supervisors', data, call);
    },
    end(call) {
      const operators = call.operator ? [call.operator] : [];
      const data = { outcome: 'answered', operators, offered_at: call.offered_at };
      tell('call.ended', call, operators.length ? operators : 'supervisors', data, call);
    },
  };
  const at = (second: number) => new Date(Date.UTC(2026, 0, 5) + second * 1000).toISOString();

  for (let step = 0; step < steps; step += 1) {
    if (calls.size < 4 && next() < 0.3) {
      calls_made += 1;
      const id = `call-${calls_made}`;
      const base: CallView = {
        id,
        pbx: 'p',
        direction: 'inbound',
        state: 'offered',
        offered_at: at(clock + 1),
        presented_to: [],
      };
      const view = card(base, `0${calls_made}`);
      tell('call.offered', view, 'supervisors', shown(view));
      continue;
    }
    if (!calls.size) continue;
    const words = ['queue', 'guide', 'present', 'present', 'present', 'rescind', 'answer', 'answer', 'hold', 'update', 'leave', 'end'];
    steps_of[pick(words)]?.(pick([...calls.values()]));
  }
  return told;
}
