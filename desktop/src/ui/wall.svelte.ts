// Whether the wallboard is open: the address says so (`#/wall`), so that a screen on the wall opens it by itself.

const HASH = '#/wall';

class Wall {
  isOpen = $state(location.hash === HASH);

  /** Follows the address, and Escape, which leaves. */
  follow(): void {
    $effect(() => {
      const look = () => (this.isOpen = location.hash === HASH);
      const key = (event: KeyboardEvent) => event.key === 'Escape' && this.isOpen && this.leave();
      addEventListener('hashchange', look);
      addEventListener('keydown', key);
      return () => {
        removeEventListener('hashchange', look);
        removeEventListener('keydown', key);
      };
    });
  }

  open(): void {
    location.hash = HASH;
  }

  leave(): void {
    history.replaceState(null, '', location.pathname + location.search);
    this.isOpen = false;
  }
}

export const wall = new Wall();
