import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abroad } from '../src/text/abroad.ts';
import { inJapan, mayBeAbroad } from '../src/text/number.ts';

test('Japanese numbers are shown as people write them', () => {
  for (const [number, written] of [
    ['0355501001', '03-5550-1001'],
    ['+81355501001', '03-5550-1001'],
    ['03-5550-1001', '03-5550-1001'],
    ['09012345678', '090-1234-5678'],
    ['+819012345678', '090-1234-5678'],
    ['05012345678', '050-1234-5678'],
    ['0120123456', '0120-123-456'],
    ['08001234567', '0800-123-4567'],
    ['0570012345', '0570-012-345'],
    ['0663450103', '06-6345-0103'],
    ['0466123456', '0466-12-3456'],
    ['0112345678', '011-234-5678'],
    ['0429981234', '04-2998-1234'],
    ['0422223456', '0422-22-3456'],
    ['0499212345', '04992-1-2345'],
    ['+12125550100', undefined],
    ['110', undefined],
    ['1001', undefined],
  ] as const) {
    assert.equal(inJapan(number), written, number);
  }
});

test('numbers of other countries are shown as people write them', () => {
  for (const [number, home, written] of [
    ['+12125550100', 'JP', '+1 212 555 0100'],
    ['+1 212-555-0100', 'JP', '+1 212 555 0100'],
    ['+442079460123', 'US', '+44 20 7946 0123'],
    ['+12125550100', 'US', '(212) 555-0100'],
    ['2125550100', 'US', '(212) 555-0100'],
    ['+81355501001', 'US', '+81 3 5550 1001'],
    ['020 7946 0123', 'GB', '020 7946 0123'],
    ['+49301234567', 'DE', '030 1234567'],
    ['99999999999', 'US', '99999999999'],
  ] as const) {
    assert.equal(abroad(number, home), written, number);
  }
  assert.deepEqual(['1001', '110', '+12125550100', '2125550100', 'anonymous'].map(mayBeAbroad), [false, false, true, true, false]);
});
