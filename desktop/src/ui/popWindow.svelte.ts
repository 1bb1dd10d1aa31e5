// A small window that stays above all others (Document Picture-in-Picture), with the call in it: for those who work in
// another program. Only some browsers have it, and only on https and on this machine.

import { mount, unmount } from 'svelte';
import SmallPop from './SmallPop.svelte';

const SIZE = { width: 380, height: 260 };

interface PictureInPicture {
  requestWindow(size: typeof SIZE): Promise<Window>;
}

const pictureInPicture = (globalThis as { documentPictureInPicture?: PictureInPicture }).documentPictureInPicture;

class PopWindow {
  readonly isThere = pictureInPicture !== undefined;
  isOpen = $state(false);
  private window: Window | undefined;

  /** Whether somebody looks at it. */
  hasFocus(): boolean {
    return this.window?.document.hasFocus() ?? false;
  }

  /** A person must have asked for it: browsers refuse it otherwise. */
  async toggle(): Promise<void> {
    if (this.window) return this.window.close();
    const opened = await pictureInPicture?.requestWindow(SIZE).catch(() => undefined);
    if (!opened) return;
    this.window = opened;
    this.isOpen = true;
    const page = opened.document;
    for (const sheet of document.querySelectorAll('link[rel=stylesheet]')) page.head.append(page.importNode(sheet));
    for (const name of ['lang', 'data-theme', 'data-size']) page.documentElement.setAttribute(name, document.documentElement.getAttribute(name) ?? '');
    const small = mount(SmallPop, { target: page.body });
    opened.addEventListener('pagehide', () => {
      void unmount(small);
      this.window = undefined;
      this.isOpen = false;
    });
  }
}

export const popWindow = new PopWindow();
