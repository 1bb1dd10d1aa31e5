// Whether somebody is typing, and which keys were meant for a field that is not there any more. Pure; `caret.svelte.ts`
// feeds it from the page.
//
// | what happens | a key outside every field is |
// |---|---|
// | nothing special | an order |
// | the field with the caret was taken away | typed text, for LOST_MS, and then while keys follow each other within BURST_MS |
// | the person left the field: Esc, Tab, Enter that submits, a click, a submitted form | an order again |

/** After a field was taken away keys are no orders for this long, in milliseconds: a person needs it to notice. */
export const LOST_MS = 1_000;
/** Keys that follow each other within this time, in milliseconds, are text: orders are given one at a time. */
export const BURST_MS = 500;

export class KeyGuard {
  private lostAt = -Infinity;
  private keyAt = -Infinity;
  private isText = false;

  /** The field with the caret was taken away, and not by the person. */
  lost(now: number): void {
    this.lostAt = now;
    this.isText = true;
  }

  /** The person left the field. */
  left(): void {
    this.lostAt = -Infinity;
    this.isText = false;
  }

  /** A key outside every field: whether it is text that was meant for one. */
  isTyped(now: number): boolean {
    const isBurst = now - this.keyAt < BURST_MS;
    this.isText = now - this.lostAt < LOST_MS || (this.isText && isBurst);
    this.keyAt = now;
    return this.isText;
  }

  /** A key in a field. */
  typed(now: number): void {
    this.keyAt = now;
  }
}

/** What of a pressed key decides which order it is. */
export type Pressed = Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey'>;

/**
 * The key that was meant, in lower case; with Shift, letters are in upper case, whatever the caps lock says. Where the
 * layout gives kana (ち), the key is named by its place.
 */
export function keyMeant({ key, code, shiftKey }: Pressed): string {
  const isAscii = key.length !== 1 || key.charCodeAt(0) < 0x80;
  const letter = isAscii ? key : /^Key[A-Z]$/.test(code) ? code.slice(3) : key;
  if (!/^[a-z]$/i.test(letter)) return letter;
  return shiftKey ? letter.toUpperCase() : letter.toLowerCase();
}
