import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseReader } from '../src/api/sse.ts';

test('any split of the text gives the same blocks', () => {
  const text = 'retry: 1000\nid: a-1\ndata: {"x":"取次"}\n\n:\n\nid: a-2\ndata: {}\n\n: end too-slow\n\n';
  const whole = new SseReader().read(text);
  assert.deepEqual(
    whole.map((block) => [block.id, block.data, block.comment]),
    [
      ['a-1', '{"x":"取次"}', undefined],
      [undefined, undefined, ''],
      ['a-2', '{}', undefined],
      [undefined, undefined, 'end too-slow'],
    ],
  );
  for (let cut = 0; cut <= text.length; cut += 1) {
    const reader = new SseReader();
    const parts = [...reader.read(text.slice(0, cut)), ...reader.read(text.slice(cut))];
    assert.deepEqual(parts, whole, `cut at ${cut}`);
  }
});
