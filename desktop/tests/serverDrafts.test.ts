// Drafts at the daemon: written a second after the last key, over the version that is there, and never over another one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SAVE_MS, ServerDrafts, type Answer, type Gone, type Stored } from '../src/desk/serverDrafts.ts';

const CALL = '01890a5d-ac96-774b-bcce-b302099a8057';

interface Body {
  text: string;
}

/** A daemon that answers what it is given, and what was asked of it. */
function daemon() {
  const asked: string[] = [];
  const others: Stored<Body>[] = [];
  const answers: Answer<Body>[] = [];
  const gone = new Map<string, Gone>();
  const away = { is: false };
  let version = 0;
  const drafts = new ServerDrafts<Body>({
    write: async (call, body, over, outlives) => {
      asked.push(`${call === CALL ? '' : call}${over} ${body.text}${outlives ? ' outlives' : ''}`);
      if (away.is) return { kind: 'later' };
      return answers.shift() ?? { kind: 'written', version: (version = over + 1) };
    },
    remove: async () => {
      asked.push('remove');
      return !away.is;
    },
    keepOther: (other) => others.push(other),
    stored: (_, now) => (version = now),
    gone: (call, what) => (what ? gone.set(call, what) : gone.delete(call)),
  });
  return { drafts, asked, others, answers, gone, away, version: () => version };
}

/** Lets what is under way come to its end. */
async function settled() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** Time that passes as the test says. */
function clock({ mock: { timers } }: { mock: { timers: { enable(what: { apis: string[] }): void; tick(ms: number): void } } }) {
  timers.enable({ apis: ['setTimeout'] });
  return async (ms: number) => {
    timers.tick(ms);
    await settled();
  };
}

test('a draft is written a second after the last key, over the version before', async (context) => {
  const passes = clock(context);
  const { drafts, asked, version } = daemon();
  drafts.changed(CALL, { text: 'a' });
  await passes(SAVE_MS - 1);
  drafts.changed(CALL, { text: 'ab' });
  await passes(SAVE_MS - 1);
  assert.deepEqual(asked, []);
  await passes(1);
  assert.deepEqual(asked, ['0 ab']);
  drafts.changed(CALL, { text: 'ab' });
  await passes(SAVE_MS);
  assert.deepEqual(asked, ['0 ab'], 'the same again is no change');
  drafts.changed(CALL, { text: 'abc' });
  await passes(SAVE_MS);
  assert.deepEqual([asked.at(-1), version()], ['1 abc', 2]);
  drafts.changed(CALL, undefined);
  await passes(0);
  assert.equal(asked.at(-1), 'remove');
  drafts.changed('message 7', { text: 'x' });
  await passes(SAVE_MS);
  assert.equal(asked.length, 3, 'what has no id of a call stays in the browser');
});

test('what was typed last is written when the page goes', async (context) => {
  clock(context);
  const { drafts, asked } = daemon();
  drafts.changed(CALL, { text: 'a' });
  drafts.flush(true);
  await settled();
  drafts.flush(true);
  await settled();
  assert.deepEqual(asked, ['0 a outlives'], 'once');
});

test('what the daemon has is not deleted because nobody has written here yet', async (context) => {
  const passes = clock(context);
  const { drafts, asked } = daemon();
  drafts.known({ call: CALL, body: { text: 'a' }, version: 3 });
  drafts.flush();
  await passes(SAVE_MS);
  assert.deepEqual(asked, []);
  drafts.changed(CALL, { text: 'ab' });
  await passes(SAVE_MS);
  assert.deepEqual(asked, ['3 ab']);
});

test('what was saved without a connection does not come back, and what another desk wrote since does', async (context) => {
  const passes = clock(context);
  const { drafts, asked, gone, away } = daemon();
  drafts.changed(CALL, { text: 'a' });
  await passes(SAVE_MS);
  away.is = true;
  drafts.changed(CALL, { text: 'ab' });
  await passes(SAVE_MS);
  drafts.changed(CALL, undefined);
  await passes(0);
  const left = gone.get(CALL);
  assert.deepEqual(left, { has: '{"text":"a"}', sent: '{"text":"ab"}' });
  // The next page of this browser, which the daemon tells one of the two, or what another desk wrote.
  for (const [text, isGone] of [['a', true], ['ab', true], ['other', false]] as const) {
    const next = daemon();
    next.drafts.restore(CALL, left!);
    assert.equal(next.drafts.isGone(CALL, { text }), isGone, text);
    if (!isGone) next.drafts.known({ call: CALL, body: { text }, version: 9 });
    next.drafts.flush();
    await settled();
    assert.deepEqual(next.asked, isGone ? ['remove'] : [], text);
  }
  away.is = false;
  drafts.flush();
  await settled();
  assert.equal(asked.at(-1), 'remove');
  assert.equal(gone.size, 0, 'the daemon knows it');
  // Written again, it is not gone any more.
  away.is = true;
  drafts.changed(CALL, { text: 'c' });
  await passes(SAVE_MS);
  drafts.changed(CALL, undefined);
  assert.equal(gone.size, 1);
  drafts.changed(CALL, { text: 'd' });
  assert.equal(gone.size, 0);
});

test('what another desk wrote is kept, and what was written here too', async (context) => {
  const passes = clock(context);
  const { drafts, asked, others, answers } = daemon();
  const current = { call: CALL, body: { text: 'other' }, version: 4 };
  answers.push({ kind: 'changed', current });
  drafts.changed(CALL, { text: 'own' }, 2);
  await passes(SAVE_MS);
  assert.deepEqual(asked, ['2 own', '4 own']);
  assert.deepEqual(others, [current]);
  // It was saved or thrown away there.
  answers.push({ kind: 'changed', current: undefined });
  drafts.changed(CALL, { text: 'own 2' });
  await passes(SAVE_MS);
  assert.deepEqual(asked.slice(2), ['5 own 2', '0 own 2']);
  assert.equal(others.length, 1);
});

test('without the daemon a draft waits, and what was typed meanwhile is written', async (context) => {
  const passes = clock(context);
  const { drafts, asked, answers } = daemon();
  answers.push({ kind: 'later' });
  drafts.changed(CALL, { text: 'a' });
  await passes(SAVE_MS);
  assert.deepEqual(asked, ['0 a']);
  drafts.flush();
  await settled();
  assert.deepEqual(asked, ['0 a', '0 a']);
  answers.push({ kind: 'refused' });
  drafts.changed(CALL, { text: 'too long' });
  await passes(SAVE_MS);
  drafts.flush();
  await settled();
  assert.deepEqual(asked.slice(2), ['1 too long'], 'what is refused is not asked for again');
  drafts.forget();
  drafts.changed(CALL, undefined);
  await passes(SAVE_MS);
  assert.equal(asked.length, 3, 'another person sits here');
});
