// The administration: files that a spreadsheet opens, and what a form sends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvOf } from '../src/admin/csv.ts';
import { ACCOUNT, fieldsOf, USER } from '../src/admin/fields.ts';
import openapi from '../../src/gateway/openapi.json';

const { schemas } = openapi.components;

test('no cell of a file is carried out by a spreadsheet', () => {
  for (const text of ['=1+1', ' =cmd', '+81312345678', '-1', '@x', '＝１', '\t=x']) {
    assert.ok(csvOf([[text]]).startsWith(`\ufeff"'`), text);
  }
  assert.equal(csvOf([['さくら', 'a "b"\nc'], ['1']]), '\ufeff"さくら","a ""b""\nc"\r\n"1"\r\n');
});

test('the form of a record has fields of the contract only', () => {
  for (const [fields, schema] of [
    [ACCOUNT, schemas.AccountFields],
    [USER, schemas.NewUser],
  ] as const) {
    for (const { name } of fields) assert.ok(name in schema.properties, name);
    for (const name of schema.required) assert.ok(fields.find((field) => field.name === name), name);
  }
});

test('a form begins with the fields of its record', () => {
  const record = { id: 'a', code: 'A001', name: 'さくら', changed_at: 'now', hours: null };
  const fields = fieldsOf(ACCOUNT, record);
  assert.deepEqual([fields.code, fields.name, fields.hours, 'id' in fields, 'changed_at' in fields], ['A001', 'さくら', null, false, false]);
});
