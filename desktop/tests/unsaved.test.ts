import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../src/api/http.ts';
import { Outbox, UNSAVED_MAX, type Unsaved } from '../src/desk/unsaved.ts';

type One = Unsaved<string>;

/** A daemon with its store, by key; `answers` says what becomes of a try, before or after it was stored. */
function desk(answers: (one: One) => 'yes' | 'lost' | ApiError) {
  const store = new Map<string, string>();
  const tries: string[] = [];
  const saved: string[] = [];
  let shown: readonly One[] = [];
  let user: string | undefined = 'sato';
  const outbox = new Outbox<string, string>({
    send: async (one) => {
      tries.push(one.wanted);
      await Promise.resolve();
      const answer = answers(one);
      if (answer instanceof ApiError) throw answer;
      store.set(one.key, one.wanted);
      if (answer === 'lost') throw new ApiError(0, 'unreachable', '');
      return one.wanted;
    },
    saved: (text) => saved.push(text),
    user: () => user,
    changed: (all) => (shown = all),
  });
  const write = (text: string, by = 'sato') => outbox.add({ key: `key of ${text}`, user: by, wanted: text, at: 0 });
  const sit = (who: string | undefined) => (user = who);
  return { outbox, store, tries, saved, write, sit, shown: () => shown.map((one) => `${one.wanted} ${one.refusal ?? ''}`.trim()) };
}

test('what could not be saved waits, in order, and is saved once whatever was lost between', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const outcomes = ['lost', new ApiError(503, 'store-unavailable', ''), 'yes'] as const;
  let turn = 0;
  const { outbox, store, tries, saved, write, shown } = desk(() => outcomes[Math.min(turn++, 2)] ?? 'yes');
  write('first');
  write('second');
  await outbox.flush();
  assert.deepEqual(shown(), ['first', 'second']);
  context.mock.timers.tick(5_000);
  await outbox.flush();
  assert.deepEqual(shown(), ['first', 'second']);
  context.mock.timers.tick(5_000);
  await outbox.flush();
  assert.deepEqual([shown(), saved, tries], [[], ['first', 'second'], ['first', 'first', 'first', 'second']]);
  assert.deepEqual([...store.values()], ['first', 'second']);
});

test('what is refused says why, holds nobody up, and can be tried again or thrown away', async () => {
  let refuses = true;
  const { outbox, saved, write, shown } = desk((one) =>
    refuses && one.wanted !== 'good' ? new ApiError(422, 'invalid-body', '') : 'yes',
  );
  write('bad');
  write('good');
  write('worse');
  await outbox.flush();
  assert.deepEqual([shown(), saved], [['bad invalid-body', 'worse invalid-body'], ['good']]);
  refuses = false;
  await outbox.again('key of bad');
  assert.deepEqual([shown(), saved], [['worse invalid-body'], ['good', 'bad']]);
  outbox.discard('key of worse');
  assert.deepEqual(shown(), []);
});

test('one that is written while another is under way is sent after it', async () => {
  const { outbox, saved, write } = desk(() => 'yes');
  write('first');
  const flushed = outbox.flush();
  write('second');
  await Promise.all([flushed, outbox.flush()]);
  assert.deepEqual(saved, ['first', 'second']);
});

test('nobody sends what another person wrote', async () => {
  const { outbox, tries, saved, write, sit, shown } = desk(() => 'yes');
  write('hers');
  sit(undefined);
  await outbox.flush();
  sit('tanaka');
  await outbox.flush();
  assert.deepEqual([tries, shown()], [[], ['hers']]);
  sit('sato');
  await outbox.flush();
  assert.deepEqual(saved, ['hers']);
});

test('there is room for so many', () => {
  const { write } = desk(() => 'yes');
  for (let n = 0; n < UNSAVED_MAX; n += 1) assert.equal(write(String(n)), true);
  assert.equal(write('one more'), false);
});
