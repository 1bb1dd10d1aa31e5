// What is found by a name or number in any writing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Account, Contact } from '../src/api/types.ts';
import { isAccount, isContact, soughtOf } from '../src/desk/found.ts';

const account = { id: 'a', name: '山田歯科医院', kana: 'やまだしかいいん', code: 'A003', dialled: ['03-5550-1003'] } as Account;
const contact = { id: 'c', account: 'a', name: '佐々木健', kana: 'ささきけん', role: '営業部長', number: '090-5550-0011' } as Contact;

test('an account is found by kana, half width, romaji, code and number', () => {
  for (const text of ['山田', 'やまだ', 'ヤマダ', 'ﾔﾏﾀﾞ', 'yamada', 'YAMADA', 'yamad', 'a003', '5550-1003', '０３５５５０', '+81 3 5550']) {
    assert.ok(isAccount(account, soughtOf(text)), text);
  }
  for (const text of ['佐藤', 'satou', '999']) assert.ok(!isAccount(account, soughtOf(text)), text);
});

test('a contact is found by name, reading, role and number, but not by a number that nobody may learn', () => {
  for (const text of ['佐佐木', 'ｻｻｷ', 'sasaki', '営業', '0905550']) assert.ok(isContact(contact, soughtOf(text)), text);
  const hidden = { ...contact, do_not_tell: true };
  assert.ok(isContact(hidden, soughtOf('sasaki')) && !isContact(hidden, soughtOf('0905550')));
});
