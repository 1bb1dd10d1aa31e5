// Which messages the list shows, and which of them must be seen to first.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Message } from '../src/api/types.ts';
import { alarmOf, belongsTo, byAttention, EVERYTHING, queriesOf, tabsOf, whyOf } from '../src/desk/messageList.ts';

const NOW = Date.parse('2026-04-01T12:00:00.000Z');

function message(id: string, more: object = {}): Message {
  const created_at = `2026-04-01T0${id.length}:00:00.000Z`;
  return { id, account: 'a', kind: 'message', state: 'open', text: 'x', created_at, version: 1, delivery: { state: 'queued' }, ...more } as unknown as Message;
}

test('what must be seen to comes first, and of equals the longest waiting', () => {
  const all = [
    message('test', { kind: 'test', state: 'failed' }),
    message('held', { hold_until: '2026-04-01T13:00:00.000Z', mark: 'complaint' }),
    message('waits'),
    message('w'),
    message('urgent', { urgency: 'urgent' }),
    message('over', { call_back: { until: '2026-04-01T11:59:00.000Z' } }),
    message('followed', { follow_up: { at: '2026-04-01T12:00:00.000Z', text: 'x', by: 'operator' } }),
    message('complaint', { mark: 'complaint' }),
    message('unrouted', { delivery: { state: 'none', reason: 'no_contact' } }),
    message('failed', { state: 'failed', mark: 'complaint' }),
    message('unanswered', { state: 'sent', delivery: { state: 'sent', route: { state: 'unanswered' } } }),
    message('queued', { delivery: { state: 'queued' } }),
    message('released', { hold_until: '2026-04-01T12:00:00.000Z' }),
  ];
  assert.deepEqual(
    byAttention(all, NOW).map((one) => one.id),
    ['failed', 'unrouted', 'unanswered', 'complaint', 'over', 'followed', 'urgent', 'w', 'waits', 'queued', 'released', 'held', 'test'],
  );
  const nowhere = { state: 'none', reason: 'no_mail_server' };
  assert.equal(whyOf(message('x', { delivery: nowhere }), NOW), 'waits', 'nothing is sent here at all');
  assert.equal(whyOf(message('x', { call_back: { until: '2026-04-01T12:00:01.000Z' } }), NOW), 'waits');
});

test('a tab asks the daemon for what it shows, and shows what changed since', () => {
  const [open, failed, unanswered, complaints, urgent, ...others] = queriesOf('attention', { ...EVERYTHING, account: 'a' });
  assert.deepEqual([open?.['state'], failed?.['state'], unanswered?.['unanswered'], complaints?.['mark'], urgent?.['urgency'], others.length], ['open', 'failed', 'true', 'complaint', 'urgent', 0]);
  assert.ok([open, failed, complaints, urgent].every((one) => one?.['account'] === 'a'), 'narrowed all the same');
  assert.equal(tabsOf('operator')[0], 'open');
  assert.equal(tabsOf('supervisor')[0], 'attention');
  const shown = (tab: Parameters<typeof belongsTo>[1], more: object) => belongsTo(message('x', more), tab, EVERYTHING, NOW, false);
  for (const [tab, more, isShown] of [
    ['attention', { state: 'failed' }, true],
    ['attention', { state: 'sent' }, false],
    ['attention', { state: 'sent', delivery: { state: 'sent', route: { state: 'unanswered' } } }, true],
    ['sent', { state: 'sent' }, true],
    ['sent', { state: 'acknowledged' }, false],
    ['open', { state: 'acknowledged' }, false],
    ['held', { hold_until: '2026-04-01T12:00:01.000Z' }, true],
    ['held', { hold_until: '2026-04-01T12:00:00.000Z' }, false],
    ['complaint', { mark: 'complaint', state: 'acknowledged' }, true],
    ['report', { kind: 'report' }, true],
    ['test', {}, false],
    ['all', { state: 'acknowledged' }, true],
    ['all', { withdrawn_at: '2026-04-01T11:00:00.000Z' }, false],
  ] as const) {
    assert.equal(shown(tab, more), isShown, `${tab} ${JSON.stringify(more)}`);
  }
  const narrowed = { ...EVERYTHING, q: 'やまもと' };
  for (const isListed of [true, false]) {
    assert.equal(belongsTo(message('x'), 'all', narrowed, NOW, isListed), isListed, 'only the daemon knows what fits');
  }
  assert.equal(belongsTo(message('x'), 'all', { ...EVERYTHING, taken_by: 'b' }, NOW, true), false);
});

test('what no recipient will ever have, and a complaint, is an alarm for supervisors; a test is not', () => {
  const saved = (more: object) => alarmOf('message.saved', message('x', more));
  assert.equal(saved({}), undefined);
  assert.equal(saved({ mark: 'complaint' }), 'complaint');
  assert.equal(saved({ delivery: { state: 'none', reason: 'no_contact' } }), 'unrouted');
  assert.equal(saved({ delivery: { state: 'none', reason: 'no_mail_server' } }), undefined);
  assert.equal(alarmOf('message.failed', message('x')), 'failed');
  assert.equal(alarmOf('bounce.policy', {}), 'policy');
  assert.equal(alarmOf('message.failed', message('x', { kind: 'test' })), undefined);
  assert.deepEqual([alarmOf('message.unanswered', {}), alarmOf('message.unanswered', { to: 'taker' })], ['unanswered', undefined]);
  assert.equal(alarmOf('message.sent', message('x', { mark: 'complaint' })), undefined);
});
