import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finished, RecordedWrapUp } from '../src/api/types.ts';
import { ALL, asPast, belongs, merged, queryOf, recordedOf, shownOf } from '../src/desk/history.ts';
import type { PastCall } from '../src/desk/state.ts';

function past(id: string, offered: string, more: Partial<PastCall> = {}): PastCall {
  return { id, card: undefined, offered_at: `2026-04-01T${offered}:00.000Z`, operators: [], ...more };
}

test('calls stand in the order in which they began, however they ended and wherever they are known from', () => {
  // The first call ends last; the page and the daemon know one each, and both the third.
  const here = [past('c', '13:10', { reason: 'answered_elsewhere' }), past('a', '13:12')];
  const kept = [past('b', '13:11'), past('c', '13:10', { outcome: 'answered', ended_at: '2026-04-01T13:30:00.000Z' })];
  for (const all of [merged(here, kept), merged([...here].reverse(), [...kept].reverse())]) {
    assert.deepEqual(all.map((one) => one.id), ['a', 'b', 'c']);
    assert.deepEqual([all[2]?.reason, all[2]?.outcome], ['answered_elsewhere', 'answered']);
  }
});

test('what an event brought is added to what the daemon had of the same work', () => {
  const one = (user: string, since: string, more: Partial<RecordedWrapUp>): RecordedWrapUp =>
    ({ user, since, ended_at: '13:20', ...more });
  // The caller came back to Sato, who has two pieces of work for the call.
  const call = past('a', '13:10', {
    wrap_ups: [one('sato', '13:12', { notes: '納期' }), one('suzuki', '13:13', { disposition: 'other' })],
  });
  const brought = [one('sato', '13:12', { disposition: 'message' }), one('sato', '13:15', { disposition: 'complaint' })];
  assert.deepEqual(recordedOf(call, brought).map((work) => [work.user, work.since, work.disposition, work.notes]), [
    ['suzuki', '13:13', 'other', undefined],
    ['sato', '13:12', 'message', '納期'],
    ['sato', '13:15', 'complaint', undefined],
  ]);
});

test('the filter asks for what it lets through', () => {
  const call = past('a', '13:10', { outcome: 'answered', operators: ['1001'] });
  assert.deepEqual(queryOf(ALL), { q: undefined, direction: undefined, account: undefined, operator: undefined, outcome: undefined, from: undefined, to: undefined });
  assert.equal(belongs(call, ALL), true);
  assert.equal(belongs(call, { ...ALL, outcome: 'abandoned' }), false);
  assert.equal(belongs(call, { ...ALL, operator: '1002' }), false);
  assert.equal(belongs(call, { ...ALL, account: 'x' }), false);
  // Days are those of the place where the page is, the last one included.
  for (const hour of [0, 12, 23]) {
    const at = new Date(2026, 3, 1, hour, 30).toISOString();
    for (const [from, to, is] of [
      ['2026-04-01', '2026-04-01', true],
      ['2026-04-02', '', false],
      ['', '2026-03-31', false],
    ] as const) {
      const wanted = { ...ALL, from, to };
      assert.equal(belongs({ ...call, offered_at: at }, wanted), is, `${hour} ${from} ${to}`);
      const { from: begin, to: end } = queryOf(wanted);
      assert.equal((!begin || at >= begin) && (!end || at < end), is, 'the daemon is asked for the same');
    }
  }
});

function finished(id: string, more: Partial<Finished>): Finished {
  return {
    ...{ id, pbx: 'lab', direction: 'inbound', matched_by: 'none', presentation: 'allowed', channels: [], segments: [] },
    ...{ offered_at: '2026-04-01T13:10:00.000Z', ended_at: '2026-04-01T13:11:00.000Z', outcome: 'answered' },
    ...{ operators: ['1001'], inferred: false, wrap_ups: [] },
    ...more,
  } as Finished;
}

test('of a call to the outside the other side is the number that was called, and it stands among its own kind alone', () => {
  const out = asPast(finished('a', { direction: 'outbound', dialled: '+81312345678', presentation: 'unavailable' }));
  assert.deepEqual(out.card?.caller, { presentation: 'allowed', number: '+81312345678' });
  assert.deepEqual([belongs(out, ALL), belongs(out, { ...ALL, direction: 'outbound' })], [false, true]);
  const withheld = asPast(finished('b', { presentation: 'withheld', dialled: '0355501001' }));
  assert.deepEqual(withheld.card?.caller, { presentation: 'withheld' });
  assert.deepEqual([belongs(withheld, ALL), belongs(withheld, { ...ALL, direction: 'outbound' })], [true, false]);
});

test('a search shows what the daemon found, and of the calls of the page those that it knows to match', () => {
  const one = (id: string, name: string, number: string) =>
    asPast(finished(id, { caller: number, customer: id, customer_name: name }));
  const here = [one('a', '田中太郎', '+819012345678'), one('b', '鈴木', '+81312345678')];
  // Found by the reading, which is in no finished call.
  const kept = [one('c', '田仲', '+81663450101')];
  const shown = (q: string, isAnswer: boolean) => shownOf(here, kept, { ...ALL, q }, isAnswer).map(({ id }) => id).sort();
  assert.deepEqual(shown('田中', true), ['a', 'c']);
  assert.deepEqual(shown('田中', false), ['a']);
  for (const written of ['090-1234-5678', '０９０１２３４', '+81 90-1234-5678', '5678']) assert.ok(shown(written, false).includes('a'), written);
  assert.deepEqual(shown('090-1234-5679', false), []);
  assert.deepEqual(shown('', false), ['a', 'b', 'c']);
});
