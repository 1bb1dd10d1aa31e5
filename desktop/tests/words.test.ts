// The lists and words of the page against the contract: a word that the contract gains is missing here first.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import openapi from '../../src/gateway/openapi.json';
import { callsElsewhere, faultsOf, waitingCalls } from '../src/desk/choose.ts';
import { OUTBOUND_OUTCOMES, OUTCOMES } from '../src/desk/history.ts';
import { emptyDesk, type Call, type Operator } from '../src/desk/state.ts';
import { en } from '../src/i18n/en.ts';
import { ja } from '../src/i18n/ja.ts';
import * as callflow from '../src/ui/callflowWords.ts';

const { schemas } = openapi.components;

/** The kinds of a call's parts, which the contract leaves open and describes: in backquotes, results in brackets apart. */
function segmentKinds(): string[] {
  const described = schemas.Segment.properties.kind.description.replace(/\([^)]*\)/g, '');
  return [...described.matchAll(/`(\w+)`/g)].map((found) => found[1] ?? '');
}

test('the filter of the history has every outcome of the contract', () => {
  assert.deepEqual([...OUTCOMES].sort(), [...schemas.Outcome.enum].sort());
});

test('every word of the contract that the page shows stands in both languages', () => {
  const kinds = segmentKinds();
  assert.ok(kinds.includes('presented') && kinds.includes('dialling') && !kinds.includes('caller_gone'), kinds.join());
  for (const [prefix, names] of [
    ['outcome', schemas.Outcome.enum],
    ['outcome', schemas.TransferOutcome.enum],
    ['outbound', OUTBOUND_OUTCOMES],
    ['past.encoding', schemas.CsvEncoding.enum],
    ['state', schemas.OperatorStateName.enum],
    ['transfer.state', schemas.TransferState.enum],
    ['message.state', schemas.MessageState.enum],
    ['message.action', schemas.MessageAction.enum],
    ['message.mark', schemas.MessageMark.enum],
    ['message.gender', schemas.Gender.enum],
    ['timeline', schemas.MessageTimelineKind.enum],
    ['delivery', schemas.MessageDeliveryRecordState.enum],
    ['delivery', schemas.MessageDeliveryState.enum],
    ['delivery.reason', schemas.UnroutedReason.enum],
    ['script', schemas.ScriptOfferKind.enum],
    ['script.offer', schemas.OfferResult.enum],
    ['script.problem', schemas.ScriptAnswerProblem.enum],
    ['scripts.state', schemas.ScriptState.enum],
    ['kind', schemas.MessageKind.enum.filter((kind) => kind !== 'message')],
    ['phone', schemas.Phone.enum],
    ['matched', schemas.MatchedBy.enum],
    ['mode', schemas.Mode.enum],
    ['sup', schemas.State.enum],
    ['segment', kinds],
    ['presence', schemas.PresenceState.enum],
  ] as const) {
    for (const name of names) {
      for (const words of [ja, en]) assert.ok(`${prefix}.${name}` in words, `${prefix}.${name}`);
    }
  }
});

test('every word of a callflow stands in both languages', () => {
  for (const [prefix, names] of [
    ['now', schemas.CallflowTreatment.enum],
    ['because', schemas.CallflowBecause.enum],
    ['sync', schemas.PlanState.enum],
    ['override', schemas.OverrideTreatment.enum],
    ['hears', schemas.WhileWaiting.enum],
    ['guidance', schemas.GuidanceMode.enum],
    ['offered', schemas.OfferedWhen.enum],
    ['field', Object.keys(schemas.CallflowFields.properties)],
  ] as const) {
    for (const name of names) {
      for (const words of [callflow.ja, callflow.en]) assert.ok(`${prefix}.${name}` in words, `${prefix}.${name}`);
    }
  }
});

test('a call that no operator has is on the board, whatever its state', () => {
  for (const state of schemas.CallState.enum) {
    const call = { id: 'a', state, presented_to: [], offered_at: '2026-04-01T13:10:00.000Z', pops: {} };
    const desk = emptyDesk({ id: '2001', role: 'supervisor', extension: '2001' });
    const all = { ...desk, calls: new Map([['a', call as unknown as Call]]) };
    const shown = waitingCalls(all).length + callsElsewhere(all).length;
    // An operator has a call that is answered or held.
    assert.equal(shown, ['answered', 'held', 'ended'].includes(state) ? 0 : 1, state);
  }
});

test('what the PBX refuses for many is said once, with all of them', () => {
  const fault = { queue: 'no-such-queue', setting: 'operators.queues', message: 'No such queue' };
  const person = (name: string, ...faults: object[]) => ({ name, queue_faults: faults }) as unknown as Operator;
  const other = { ...fault, setting: undefined };
  const people = [person('佐藤', fault), person('鈴木', { ...fault }, other), person('高橋')];
  assert.deepEqual(faultsOf(people), [
    { fault, names: ['佐藤', '鈴木'] },
    { fault: other, names: ['鈴木'] },
  ]);
});
