import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shelf, TYPED_MS_MAX, type Place } from '../src/desk/shelf.ts';

function place(room = Infinity): Place & { texts: Map<string, string> } {
  const texts = new Map<string, string>();
  return {
    texts,
    get length() {
      return texts.size;
    },
    key: (index) => [...texts.keys()][index] ?? null,
    getItem: (key) => texts.get(key) ?? null,
    setItem(key, value) {
      if (texts.size >= room) throw new Error('full');
      texts.set(key, value);
    },
    removeItem: (key) => void texts.delete(key),
  };
}

test('what one person typed is there again for that person alone', () => {
  const browser = place();
  const shelf = new Shelf(() => [browser], () => 5);
  shelf.put('sato', 'draft', 'call-2', { text: '納期' });
  shelf.put('sato', 'message', 'key', { text: '保存待ち' });
  shelf.put('suzuki', 'draft', 'call-2', { text: '別の人' });
  const again = new Shelf(() => [browser], () => 6);
  assert.deepEqual([...again.all('sato', 'draft')], [['call-2', { text: '納期' }]]);
  assert.deepEqual([...again.all('sato', 'message').keys()], ['key']);
  again.drop('sato', 'draft', 'call-2');
  assert.equal(again.all('sato', 'draft').size, 0);
  assert.equal(again.all('suzuki', 'draft').size, 1);
});

test('it goes when nobody comes back for it, and what is no entry goes at once', () => {
  let now = 0;
  const browser = place();
  browser.setItem('toritsugi.prefs', '{}');
  browser.setItem('toritsugi.typed/sato/draft/x', 'nonsense');
  const shelf = new Shelf(() => [browser], () => now);
  shelf.put('sato', 'draft', 'old', 1);
  now = TYPED_MS_MAX;
  shelf.put('sato', 'draft', 'new', 2);
  assert.deepEqual([...shelf.all('sato', 'draft').keys()], ['old', 'new']);
  now += 1;
  assert.deepEqual([...shelf.all('suzuki', 'draft').keys()], []);
  assert.deepEqual([...browser.texts.keys()], ['toritsugi.prefs', 'toritsugi.typed/sato/draft/new']);
});

test('the first place is written and all are read; one without room refuses', () => {
  const [browser, tab] = [place(), place()];
  let keep = true;
  const shelf = new Shelf(() => (keep ? [browser, tab] : [tab, browser]));
  shelf.put('sato', 'draft', 'a', 1);
  keep = false;
  assert.equal(shelf.all('sato', 'draft').size, 1);
  shelf.put('sato', 'draft', 'a', 2);
  assert.deepEqual([browser.texts.size, tab.texts.size], [0, 1]);
  assert.equal(new Shelf(() => [place(0)]).put('sato', 'draft', 'a', 1), false);
  assert.equal(new Shelf(() => []).put('sato', 'draft', 'a', 1), false);
});
