// Where the caret is, and how it left: nobody's field is taken away while there is a caret in it.
//
// Invariant: a person who typed in a field has left it only by a deed of their own (see `typing.ts`); a field that goes
// away or loses the caret otherwise was taken.

import { KeyGuard } from './typing.ts';

/** After a click the page waits this long before it changes what stands under the pointer, in milliseconds. */
const RELEASE_MS = 1_500;
const FIELDS = 'textarea, select, input:not([type=radio], [type=checkbox], [type=button], [type=submit])';

/** The field that this is, if it is one for text. */
export function fieldOf(target: unknown): Element | undefined {
  return target instanceof Element && target.matches(FIELDS) ? target : undefined;
}

class Caret {
  /** Counts what may have moved the caret, so that what depends on it is looked at again. */
  private moves = $state(0);
  /** The field in which somebody typed or stands, and which they have not left. */
  private field: Element | undefined;
  private isPressed = false;
  private clickedAt = -Infinity;
  private typedAt = -Infinity;
  readonly guard = new KeyGuard();

  /** Whether the page must leave what is shown as it is. */
  isBusy(): boolean {
    void this.moves;
    return Boolean(fieldOf(document.activeElement)) || this.isClicking();
  }

  /** Whether a click is on its way: what stands under the pointer stays. */
  isClicking(): boolean {
    return this.isPressed || performance.now() - this.clickedAt < RELEASE_MS;
  }

  /** Whether the caret is in a field, inside this part of the page. */
  isIn(selector: string): boolean {
    void this.moves;
    return Boolean(fieldOf(document.activeElement)?.closest(selector));
  }

  /** How long ago somebody typed in a field of the page, in milliseconds. */
  quietFor(): number {
    return performance.now() - this.typedAt;
  }

  /** The person is done with the field. */
  leave(): void {
    this.left();
    this.clickedAt = -Infinity;
    const field = fieldOf(document.activeElement);
    if (field instanceof HTMLElement) field.blur();
  }

  /** To be called once, while the page lives. */
  follow(): void {
    $effect(() => {
      const listeners: [string, (event: Event) => void][] = [
        ['keydown', (event) => this.keyDown(event as KeyboardEvent)],
        ['input', (event) => this.typed(event.target)],
        ['compositionupdate', (event) => this.typed(event.target)],
        ['focusin', (event) => this.entered(event.target)],
        ['focusout', (event) => this.out(event.target)],
        ['submit', () => this.left()],
        ['click', () => this.left()],
        ['pointerdown', () => this.pressed(true)],
        ['pointerup', () => this.pressed(false)],
        ['pointercancel', () => this.pressed(false)],
      ];
      for (const [kind, act] of listeners) document.addEventListener(kind, act, true);
      const changes = new MutationObserver(() => {
        if (this.field?.isConnected === false) this.taken();
      });
      changes.observe(document, { subtree: true, childList: true });
      return () => {
        for (const [kind, act] of listeners) document.removeEventListener(kind, act, true);
        changes.disconnect();
      };
    });
  }

  private keyDown(event: KeyboardEvent): void {
    const field = fieldOf(event.target);
    if (event.isComposing || event.keyCode === 229) {
      if (field) this.typed(field);
      return;
    }
    const { key } = event;
    const submits = key === 'Enter' && field && (field instanceof HTMLInputElement || event.ctrlKey || event.metaKey);
    if (key === 'Tab' || key === 'Escape' || submits) this.left();
    else if (field) this.typed(field);
  }

  private typed(target: EventTarget | null): void {
    const field = fieldOf(target);
    if (!field) return;
    this.field = field;
    this.guard.typed(performance.now());
    if (field.closest('#main')) this.typedAt = performance.now();
  }

  private entered(target: EventTarget | null): void {
    this.field = fieldOf(target);
    this.moved();
  }

  private out(target: EventTarget | null): void {
    // The caret of a window that is in the background comes back to where it was.
    if (this.field && this.field === target && document.hasFocus()) this.taken();
    this.moved();
  }

  private taken(): void {
    this.field = undefined;
    this.guard.lost(performance.now());
    this.moved();
  }

  private left(): void {
    this.field = undefined;
    this.guard.left();
  }

  private pressed(down: boolean): void {
    this.left();
    if (fieldOf(document.activeElement)) this.clickedAt = performance.now();
    this.isPressed = down;
    this.moved();
  }

  /** After the event: a field that the page removes tells of it in the middle of the change. */
  private moved(): void {
    queueMicrotask(() => (this.moves += 1));
  }
}

export const caret = new Caret();
