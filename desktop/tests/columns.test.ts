import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf } from '../src/text/columns.ts';

test('a full-width character takes two columns', () => {
  assert.deepEqual(['', 'abc', 'ｱﾝ', '納期', 'お電話　03-5550', '𠮷'].map(columnsOf), [0, 3, 2, 4, 15, 2]);
});
