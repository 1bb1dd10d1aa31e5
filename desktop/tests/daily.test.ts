// Until when notices hold, and where contacts are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Contact } from '../src/api/types.ts';
import { whereabouts } from '../src/desk/presence.ts';
import { endsAt, untilOf } from '../src/desk/until.ts';

const NOW = new Date(2026, 10, 30, 13, 20).getTime();
const local = (...parts: [number, number, number, number?, number?]) => new Date(...parts).toISOString();

test('an end is a time of today, some hours, or days', () => {
  assert.equal(untilOf('today', NOW), undefined);
  assert.equal(untilOf('2h', NOW), local(2026, 10, 30, 15, 20));
  assert.equal(untilOf('18:00', NOW), local(2026, 10, 30, 18));
  assert.equal(untilOf('tomorrow', NOW), local(2026, 11, 2));
  assert.equal(untilOf('week', NOW), local(2026, 11, 7));
  assert.equal(untilOf('2026-12-24T09:30', NOW), local(2026, 11, 24, 9, 30));
  for (const nothing of ['', 'T', 'own']) assert.equal(untilOf(nothing, NOW), undefined, nothing);
});

test('hours of today that are over are not offered', () => {
  assert.deepEqual(endsAt(NOW), ['today', '1h', '2h', '15:00', '18:00', 'tomorrow', 'week']);
  assert.deepEqual(endsAt(new Date(2026, 10, 30, 23, 30).getTime()), ['today', '1h', '2h', 'tomorrow', 'week']);
});

test('what an operator wrote down counts before the record, until it is over', () => {
  const contact = { id: 'a', absent_until: local(2026, 11, 5) } as Contact;
  assert.deepEqual(whereabouts(contact, NOW), { state: 'away', until: local(2026, 11, 5) });
  const presence = { state: 'in', until: local(2026, 10, 30, 15), by_name: '佐藤', at: local(2026, 10, 30, 9) } as const;
  const said = { ...contact, presence };
  assert.deepEqual(whereabouts(said, NOW), { state: 'in', until: presence.until, by: '佐藤', at: presence.at });
  assert.deepEqual(whereabouts(said, NOW + 7_200_000), { state: 'away', until: local(2026, 11, 5) });
  assert.equal(whereabouts({ id: 'a' } as Contact, NOW), undefined);
  assert.equal(whereabouts({ ...contact, absent_from: local(2026, 11, 1) }, NOW), undefined);
});
