import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BREAK_WATCH_MS, HOLD_BAD_MS, HOLD_WATCH_MS, levelOf, teamOf, type Member } from '../src/desk/team.ts';
import type { Call, Operator } from '../src/desk/state.ts';

const NOW = Date.parse('2026-04-01T13:00:00.000Z');

function person(extension: string, state: string, ms = 0, more: object = {}): Operator {
  return { id: extension, extension, name: `担当${extension}`, state, since: new Date(NOW - ms).toISOString(), phone: 'reachable', ...more } as unknown as Operator;
}

test('a level begins at its time, and a phone that is gone matters on duty only', () => {
  for (const [one, level] of [
    [person('1', 'on_hold', HOLD_WATCH_MS - 1), 'plain'],
    [person('1', 'on_hold', HOLD_WATCH_MS), 'watch'],
    [person('1', 'on_hold', HOLD_BAD_MS), 'bad'],
    [person('1', 'not_ready', BREAK_WATCH_MS), 'watch'],
    [person('1', 'talking', 10 * HOLD_BAD_MS), 'plain'],
    [person('1', 'ready', 0, { phone: 'unreachable' }), 'bad'],
    [person('1', 'not_ready', 0, { phone: 'unreachable' }), 'plain'],
    [person('1', 'logged_out', 0, { phone: 'unreachable' }), 'plain'],
  ] as const) {
    assert.equal(levelOf(one, undefined, false, NOW), level, JSON.stringify(one));
  }
  assert.equal(levelOf(person('1', 'talking'), undefined, true, NOW), 'bad');
});

test('who stands out comes first, then who is with a caller; of equals the smaller extension', () => {
  const people = [person('30', 'logged_out'), person('12', 'ready'), person('11', 'ready'), person('20', 'talking'), person('40', 'on_hold', HOLD_BAD_MS)];
  const members: Member[] = people.map((one) => ({ person: one, call: undefined, level: levelOf(one, undefined, false, NOW) }));
  const extensions = (found: Member[]) => found.map((one) => one.person.extension).join();
  assert.equal(extensions(teamOf(members, { text: '', state: '' }, true)), '40,20,11,12,30');
  assert.equal(extensions(teamOf(members, { text: '', state: '' }, false)), '11,12,20,30,40');
  assert.equal(extensions(teamOf(members, { text: '', state: 'ready' }, true)), '11,12');
  assert.equal(extensions(teamOf(members, { text: '担当１', state: '' }, true)), '11,12');
  assert.equal(extensions(teamOf(members, { text: 'さくら', state: '' }, true)), '');
});

test('a call says how somebody is who is not logged in', () => {
  const call = { operator: '11', state: 'held', since: new Date(NOW - HOLD_BAD_MS).toISOString() } as unknown as Call;
  assert.equal(levelOf(person('11', 'logged_out'), call, false, NOW), 'bad');
});
