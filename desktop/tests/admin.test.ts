// The administration: files that a spreadsheet opens, and what a form sends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvOf } from '../src/admin/csv.ts';
import { ACCOUNT, CONTACT, CUSTOMER, fieldsOf, USER } from '../src/admin/fields.ts';
import { instant, localTime } from '../src/admin/local.ts';
import { inJapanese } from '../src/admin/refusals.ts';
import { en, ja } from '../src/admin/wordList.ts';
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
    [CONTACT, schemas.ContactFields],
    [CUSTOMER, schemas.CustomerFields],
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

test('an instant and the text of its field are the same time', () => {
  for (const at of ['2026-12-31T09:00:00.000Z', '2026-03-29T01:30:00.000Z']) assert.equal(instant(localTime(at)), at);
  assert.deepEqual([instant(''), instant('x'), localTime(null), localTime('x')], [null, null, '', '']);
});

test('each word of the contract that the administration shows stands there', () => {
  for (const [prefix, names] of [
    ['purge', schemas.PurgeTarget.enum],
    ['finding', schemas.PbxQueueFinding.enum],
    ['import', schemas.ImportState.enum],
    ['words', schemas.WordKind.enum],
    ['tone', schemas.Tone.enum],
    ['change', schemas.CustomerAction.enum],
    ['from', schemas.SettingSource.enum],
  ] as const) {
    assert.ok(names.length > 1, prefix);
    for (const name of names) for (const words of [ja, en]) assert.ok(`${prefix}.${name}` in words, `${prefix}.${name}`);
  }
});

test('what the daemon refuses is said in Japanese', () => {
  const label = (field: string) => (ja as Record<string, string>)[`field.${field}`];
  const said = (text: string) => inJapanese(text, label);
  assert.equal(said('name: must not be empty'), '名称：入力してください');
  assert.equal(
    said('numbers: "090-1234-56789" is not a telephone number: it has 12 digits, and one that begins so has 11; several numbers are separate, in a file with ; between them'),
    '電話番号："090-1234-56789" は電話番号ではありません（12 桁あります。この始まりの番号は 11 桁です。番号が複数あれば分けてください。ファイルでは ; で区切ります）',
  );
  assert.equal(said('line 3: the column "code" appears twice'), '3 行目：列 "code" が二つあります');
  assert.equal(said('something else'), 'something else');
});
