// The composer's code, which comes beside the page: signing in does not wait for it.
//
// It is loaded as soon as somebody has signed in and before the page's files are kept (`shell.ts`), so that a connection
// that is lost, and a reload without one, leave nobody without it.

import type TakeMessage from './TakeMessage.svelte';

class Composer {
  /** Nothing until it is loaded. */
  form = $state.raw<typeof TakeMessage | undefined>();
  private loading: Promise<boolean> | undefined;

  /** False where it cannot be loaded now: to be called again when the page is connected again. */
  load(): Promise<boolean> {
    this.loading ??= import('./TakeMessage.svelte').then(
      (loaded) => {
        this.form = loaded.default;
        return true;
      },
      () => {
        this.loading = undefined;
        return false;
      },
    );
    return this.loading;
  }
}

export const composer = new Composer();
