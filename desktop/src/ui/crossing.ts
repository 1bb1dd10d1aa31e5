// One sound when a figure becomes an alarm, beside its colour and its sign; none while it stays one, and none when the page
// opens upon it.

import { alarm } from '../desk/attention.svelte.ts';
import { crossed, type Level, type Tile } from '../desk/wall.ts';

const before = new Map<string, Level>();

export function soundOf(tiles: readonly Tile[]): void {
  if (crossed(before, tiles).length) alarm();
  for (const { id, level } of tiles) before.set(id, level);
}
