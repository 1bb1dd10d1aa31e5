import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wavOf } from '../src/ui/telephone.ts';

test('a file has the header of its samples', () => {
  const view = new DataView(wavOf(Float32Array.of(0, 1, -1, 2)));
  const text = (at: number, length: number) => String.fromCharCode(...new Uint8Array(view.buffer, at, length));
  assert.deepEqual([text(0, 4), text(8, 8), text(36, 4)], ['RIFF', 'WAVEfmt ', 'data']);
  assert.deepEqual([view.getUint32(4, true), view.getUint32(24, true), view.getUint32(40, true)], [44, 8000, 8]);
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => view.getInt16(44 + n * 2, true)),
    [0, 32767, -32767, 32767],
  );
});
