import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, hashOf } from '../src/ui/address.ts';
import type { View } from '../src/ui/ui.svelte.ts';

const OPERATOR: readonly View[] = ['desk', 'accounts', 'past', 'messages'];
const ID = '00000000-0000-7000-8000-000000000001';

test('an address leads to what it was made of', () => {
  for (const view of OPERATOR) assert.deepEqual(addressOf(hashOf({ view, id: '' }), OPERATOR), { view, id: '' });
  for (const view of ['accounts', 'past', 'messages'] as const) {
    assert.deepEqual(addressOf(hashOf({ view, id: ID }), OPERATOR), { view, id: ID });
  }
});

test('an address that is none, or of a view that is not there, opens nothing', () => {
  for (const hash of ['', '#', '#/', '#/wall', '#/board', '#/past/', `#/desk/${ID}`, '#/past/1', `#/past/${ID}/x`, '#/past/../admin', 'past']) {
    if (hash === '#/past/') assert.deepEqual(addressOf(hash, OPERATOR), { view: 'past', id: '' });
    else assert.equal(addressOf(hash, OPERATOR), undefined, hash);
  }
});
