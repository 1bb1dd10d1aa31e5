// The figures of today as the daemon counts them, for the board and the wallboard.

import { get } from '../api/http.ts';
import type { LiveStats } from '../api/types.ts';
import { desk } from '../desk/desk.svelte.ts';
import { percent, tilesOf, type Tile } from '../desk/wall.ts';
import { duration } from '../text/time.ts';
import { asksEvery } from './asks.ts';

/** Figures that are older than this are said to be, in milliseconds. */
const OLD_MS = 5_000;

export class Figures {
  live = $state.raw<LiveStats | undefined>();
  /** When the last answer came, by the daemon's clock. */
  private answeredAt = $state(0);

  tiles: Tile[] = $derived(tilesOf(desk.state, desk.now, this.live));
  age = $derived(this.answeredAt ? Math.max(0, desk.now - this.answeredAt) : undefined);
  isOld = $derived(!desk.live || this.age === undefined || this.age > OLD_MS);

  follow(ms: number): () => void {
    return asksEvery(ms, async () => {
      this.live = await get<LiveStats>('/v1/stats/live');
      this.answeredAt = desk.now;
    });
  }
}

/** A tile's figure as it is read. */
export function figureText({ kind, value }: Tile): string {
  if (value === undefined) return '–';
  if (kind === 'ratio') return percent(value);
  return kind === 'time' ? duration(value) : String(value);
}
