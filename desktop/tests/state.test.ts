import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamEvent } from '../src/api/types.ts';
import { allowed, callsElsewhere, ownCall, ownPops, passedOn, waitingCalls } from '../src/desk/choose.ts';
import { after, emptyDesk, withOperators, type Call, type DeskState, type Operator, type Viewer } from '../src/desk/state.ts';
import { story } from './story.ts';

const VIEWERS: Viewer[] = [
  { id: '1001', role: 'operator', extension: '1001' },
  { id: '2001', role: 'supervisor', extension: '2001' },
  { id: 'admin', role: 'admin', extension: undefined },
];

function start(viewer: Viewer): DeskState {
  const extensions = viewer.role === 'operator' ? ['1001'] : ['1001', '1002', '2001'];
  const operators = extensions.map((extension) => ({ id: extension, extension, version: 1 }) as Operator);
  return withOperators(emptyDesk(viewer), operators);
}

/** What the page shows of the calls: what this viewer may know, without what only a long watch can tell. */
function shown(state: DeskState): unknown {
  const mine = (one: string) => state.viewer.role === 'admin' || state.operators.has(one);
  const calls = [...state.calls.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  // Of a call that rings here while somebody out of sight has it (a consultation) only that is shown.
  const rings = (call: Call) =>
    call.presented_to.some(mine) && !(call.operator && mine(call.operator));
  return calls.map((call) => ({
    id: call.id,
    state: rings(call) ? 'presented' : call.state,
    offered_at: call.offered_at,
    number: call.card?.caller.number,
    operator: call.operator && mine(call.operator) ? call.operator : undefined,
    answered_at: call.operator && mine(call.operator) ? call.answered_at : undefined,
    presented_to: call.presented_to.filter(mine).sort(),
    queue: call.queue?.name,
    guidance: call.guidance,
  }));
}

test('snapshot and rest are the whole, for any story, any cut and any eyes', () => {
  for (const viewer of VIEWERS) {
    for (let seed = 1; seed <= 120; seed += 1) {
      const told = story(seed, 60, viewer);
      const fold = (state: DeskState, events: (StreamEvent | undefined)[]) =>
        events.reduce<DeskState>((now, event) => (event ? after(now, event) : now), state);
      const whole = fold(start(viewer), told.map((one) => one.event));
      for (let cut = 0; cut < told.length; cut += 3) {
        const snapshot = told[cut]?.snapshot;
        const rest = told.slice(cut + 1).map((one) => one.event);
        const where = `${viewer.role}, story ${seed}, cut ${cut}`;
        assert.deepEqual(shown(fold(start(viewer), [snapshot, ...rest])), shown(whole), `fresh: ${where}`);
        // The same page, which was away and knows older things.
        const old = fold(start(viewer), told.slice(0, Math.floor(cut / 2)).map((one) => one.event));
        assert.deepEqual(shown(fold(old, [snapshot, ...rest])), shown(whole), `resumed: ${where}`);
      }
    }
  }
});

test('an event that is told twice changes nothing the second time', () => {
  const viewer = VIEWERS[1] as Viewer;
  for (let seed = 1; seed <= 50; seed += 1) {
    let state = start(viewer);
    for (const { event } of story(seed, 60, viewer)) {
      if (!event) continue;
      state = after(state, event);
      assert.deepEqual(shown(after(state, event)), shown(state), `story ${seed}, ${event.id}`);
    }
  }
});

function event(kind: string, data: object, call = 'c1'): StreamEvent {
  return { id: `x-${kind}`, kind, at: '2026-01-05T00:00:00.000Z', pbx: 'p', call, data: data as Record<string, unknown> };
}

test('a caller who is with somebody else does not wait, and one who was parked does', () => {
  const viewer = VIEWERS[2] as Viewer;
  let state = after(start(viewer), event('call.presented', { operator: '1001', state: 'presented' }));
  const lists = () => [waitingCalls(state).map((call) => call.id), callsElsewhere(state).map((call) => call.id)];
  const then = (kind: string, data: object) => (state = after(state, event(kind, data)));
  assert.deepEqual(lists(), [['c1'], []]);
  // The other phones fall silent at the pick-up, before the operator is connected.
  then('call.presented', { operator: '1002', state: 'presented' });
  then('call.rescinded', { operator: '1001', reason: 'answered_elsewhere', state: 'presented' });
  assert.deepEqual([lists(), state.calls.get('c1')?.presented_to], [[['c1'], []], ['1002']]);
  then('call.answered', { operator: '1002', state: 'answered' });
  assert.deepEqual(lists(), [[], []]);
  then('call.updated', { presented_to: [], state: 'parked' });
  assert.deepEqual(lists(), [['c1'], []]);
  then('call.updated', { presented_to: [], state: 'transferred' });
  assert.deepEqual(lists(), [[], ['c1']]);
  then('call.updated', { presented_to: [], state: 'elsewhere' });
  assert.deepEqual(lists(), [[], ['c1']]);
  then('call.ended', { outcome: 'elsewhere', operators: ['1002'] });
  assert.deepEqual(lists(), [[], []]);
});

test('what she may do follows what happens', () => {
  const viewer = VIEWERS[0] as Viewer;
  let state = after(start(viewer), event('call.presented', { operator: '1001', state: 'presented' }));
  const may = () => {
    const call = ownCall(state) ?? ownPops(state)[0];
    return call ? [...allowed(state, call)].sort() : [];
  };
  const then = (kind: string, data: object) => {
    state = after(state, event(kind, data));
    return may();
  };
  const transfer = { id: 't', call: 'c1', mode: 'consult', state: 'ringing', operator: '1001', targets: [], attempts: [] };
  assert.deepEqual(may(), ['answer']);
  assert.deepEqual(then('call.answered', { operator: '1001' }), ['hangup', 'help', 'hold', 'transfer']);
  assert.deepEqual(then('call.held', { operator: '1001' }), ['hangup', 'help', 'resume', 'transfer']);
  assert.deepEqual(then('call.transfer.ringing', transfer), ['cancel', 'help']);
  assert.deepEqual(then('call.transfer.consulting', { ...transfer, state: 'consulting' }), ['cancel', 'complete', 'help']);
  assert.deepEqual(then('call.transfer.failed', { ...transfer, state: 'over' }), ['hangup', 'help', 'resume', 'transfer']);
  assert.deepEqual(then('call.updated', { state: 'transferred', presented_to: [] }), []);
  assert.equal(state.past.length, 1);
});

test('a caller who came back and was answered anew may be passed on anew', () => {
  const viewer = VIEWERS[0] as Viewer;
  let state = after(start(viewer), event('call.presented', { operator: '1001', state: 'presented' }));
  const transfer = { id: 't', call: 'c1', mode: 'blind', state: 'ringing', operator: '1001', targets: [], attempts: [] };
  state = after(state, event('call.answered', { operator: '1001' }));
  state = after(state, event('call.transfer.ringing', transfer));
  state = after(state, event('call.transfer.returned', { ...transfer, state: 'returning' }));
  state = after(state, event('call.answered', { operator: '1001' }));
  const call = ownCall(state) as Call;
  assert.deepEqual([...allowed(state, call)].sort(), ['hangup', 'help', 'hold', 'transfer']);
});

test('a caller who was passed on can be taken back until somebody has them', () => {
  const transfer = { id: 't', call: 'c1', mode: 'blind', state: 'requested', operator: '1001', targets: [], attempts: [] };
  const mayTakeBack = (state: DeskState) => passedOn(state)?.id === 't';
  for (const viewer of VIEWERS.slice(0, 2)) {
    let state = after(start(viewer), event('call.answered', { operator: '1001' }));
    const then = (kind: string, data: object) => mayTakeBack((state = after(state, event(kind, data))));
    const isOwn = viewer.extension === '1001';
    assert.equal(then('call.transfer.requested', transfer), isOwn, viewer.role);
    assert.equal(then('call.updated', { state: 'transferred', presented_to: [] }), isOwn);
    assert.equal(then('call.transfer.ringing', { ...transfer, state: 'ringing' }), isOwn);
    // Back at the own phone: the caller rings there before or after the transfer says so.
    assert.equal(then('call.presented', { operator: '1001', state: 'presented' }), isOwn);
    assert.equal(then('call.transfer.returned', { ...transfer, state: 'returning' }), false);
    assert.equal(then('call.transfer.requested', { ...transfer, mode: 'consult' }), false);
  }
});

test('a request for help that is withdrawn is on no board', () => {
  const asked = after(start(VIEWERS[1] as Viewer), event('help.requested', { operator: '1001' }));
  assert.equal(asked.help.size, 1);
  assert.equal(after(asked, event('help.withdrawn', { operator: '1002' })).help.size, 1);
  assert.equal(after(asked, event('help.withdrawn', { operator: '1001' })).help.size, 0);
});

test('who does not see her pop is named until it no longer rings there', () => {
  const viewer = VIEWERS[1] as Viewer;
  const rings = after(start(viewer), event('call.presented', { operator: '1001', state: 'presented' }));
  const unseen = after(rings, event('pop.unacknowledged', { operator: '1001', reason: 'no_desktop' }));
  assert.equal([...unseen.unseen.values()][0]?.reason, 'no_desktop');
  for (const over of [
    event('call.answered', { operator: '1001' }),
    event('call.rescinded', { operator: '1001', reason: 'no_answer' }),
    event('call.ended', { outcome: 'abandoned', operators: [] }),
  ]) {
    assert.equal(after(unseen, over).unseen.size, 0, over.kind);
  }
  assert.equal(after(start(viewer), event('pop.unacknowledged', { operator: '1001' })).unseen.size, 0);
});

test('who has left the service is on no board', () => {
  const state = after(start(VIEWERS[1] as Viewer), event('operator.removed', { id: '1002' }, ''));
  assert.deepEqual([...state.operators.keys()], ['1001', '2001']);
});

test('who was relieved of a caller does not show her any more', () => {
  let state = after(start(VIEWERS[0] as Viewer), event('call.presented', { operator: '1001' }));
  state = after(state, event('call.answered', { operator: '1001' }));
  state = after(state, event('call.presented', { operator: '2001', had_by: '2001', state: 'answered' }));
  assert.equal(state.calls.size, 0);
  const boss = after(start(VIEWERS[1] as Viewer), event('call.answered', { operator: '1001' }));
  const taken = after(boss, event('call.presented', { operator: '2001', had_by: '2001', state: 'answered' }));
  assert.equal(taken.calls.get('c1')?.operator, '2001');
});

test('a call that she had was answered, whoever leaves it first', () => {
  let state = after(start(VIEWERS[0] as Viewer), event('call.presented', { operator: '1001' }));
  state = after(state, event('call.answered', { operator: '1001' }));
  state = after(state, event('call.updated', { state: 'answered', presented_to: [] }));
  assert.equal(state.calls.size, 0);
  state = after(state, event('call.ended', { outcome: 'answered', operators: ['1001'] }));
  assert.deepEqual(state.past.map((one) => [one.outcome, one.reason]), [['answered', undefined]]);
});

test('who loses the pop keeps only the memory of it', () => {
  let state = after(start(VIEWERS[0] as Viewer), event('call.presented', { operator: '1001' }));
  state = after(state, event('call.rescinded', { operator: '1001', reason: 'answered_elsewhere', state: 'answered' }));
  assert.equal(state.calls.size, 0);
  assert.deepEqual(state.past.map((one) => one.reason), ['answered_elsewhere']);
});

test('kinds that are added later, and events about nothing known, change nothing', () => {
  const state = start(VIEWERS[0] as Viewer);
  for (const kind of ['call.something', 'weather.changed', 'call.held', 'call.ended', 'call.transfer.completed', 'stream.resumed']) {
    assert.deepEqual(shown(after(state, event(kind, {}))), [], kind);
  }
});
