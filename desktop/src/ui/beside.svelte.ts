// Code that comes beside the page: signing in does not wait for it.
//
// | what | is loaded |
// |---|---|
// | the composer, and the views beside the desk | as soon as somebody has signed in and before the page's files are kept (`shell.ts`), so that a connection that is lost, and a reload without one, leave nobody without it |
// | what is written for others on the desk (notices, where contacts are), the other language | as the composer |
// | the boards, what happens to an account's calls, and who gets its messages | as soon as a supervisor has signed in |
// | the editor of scripts | when somebody opens it |
// | the administration | when an administrator opens it, or somebody a link that sets a password |

import type Admin from '../admin/Admin.svelte';
import type Boards from './Boards.svelte';
import type Callflow from './Callflow.svelte';
import type DeskTools from './DeskTools.svelte';
import type Routes from './Routes.svelte';
import type ScriptEditor from './ScriptEditor.svelte';
import type TakeMessage from './TakeMessage.svelte';
import type Views from './Views.svelte';

class Beside<C> {
  /** Nothing until it is loaded. */
  form = $state.raw<C | undefined>();
  private loading: Promise<boolean> | undefined;

  constructor(private readonly fetch: () => Promise<{ default: C }>) {}

  /** False where it cannot be loaded now: to be called again when the page is connected again. */
  load(): Promise<boolean> {
    this.loading ??= this.fetch().then(
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

class Composer extends Beside<typeof TakeMessage> {
  /** A composer waits for the form of its script. */
  isAsking = $state(false);
}

export const composer = new Composer(() => import('./TakeMessage.svelte'));
export const otherViews = new Beside<typeof Views>(() => import('./Views.svelte'));
export const deskTools = new Beside<typeof DeskTools>(() => import('./DeskTools.svelte'));
export const accountRoutes = new Beside<typeof Routes>(() => import('./Routes.svelte'));
export const accountCallflow = new Beside<typeof Callflow>(() => import('./Callflow.svelte'));
export const boards = new Beside<typeof Boards>(() => import('./Boards.svelte'));
export const administration = new Beside<typeof Admin>(() => import('../admin/Admin.svelte'));
export const scriptEditor = new Beside<typeof ScriptEditor>(() => import('./ScriptEditor.svelte'));
