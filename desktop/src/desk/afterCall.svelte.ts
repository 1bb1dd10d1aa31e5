// After-call work that outlives its time: it is extended while somebody types, and its notes are saved when it ends.
//
// | what happens | then |
// |---|---|
// | the time is nearly over while somebody types | it is extended, up to AUTO_EXTENSIONS_MAX times |
// | the time is over and notes were written | the daemon stores them; the result stays open |
// | the page was not there when the time ended | as soon as it is, with what was kept of the notes |

import { ApiError, post } from '../api/http.ts';
import { t } from '../i18n/index.svelte.ts';
import { desk } from './desk.svelte.ts';
import { drafts } from './drafts.svelte.ts';

/** So long before the end the page warns, and extends where somebody types, in milliseconds. */
export const WARN_MS = 10_000;
const AUTO_EXTENSION_SECONDS = 30;
const AUTO_EXTENSIONS_MAX = 10;
/** Who has not typed for so long is not typing, in milliseconds. */
const TYPING_MS = 5_000;
/** Notes are sent when nobody has typed for so long, in milliseconds. */
const NOTES_PAUSE_MS = 1_500;

/** To be called once; `quietFor`: how long ago somebody typed. */
export function keepAfterCallWork(quietFor: () => number): void {
  let asked = '';
  const sent = new Map<string, string>();

  $effect(() => {
    const { me, now } = desk;
    const work = me?.wrap_up;
    if (!me || !work || !desk.live || work.set_aside_ms != null || asked === work.until) return;
    const left = Date.parse(work.until) - now;
    if (left > WARN_MS || quietFor() > TYPING_MS) return;
    const reason = t('wrap.auto_reason');
    if ((work.extensions ?? []).filter((one) => one.reason === reason).length >= AUTO_EXTENSIONS_MAX) return;
    asked = work.until;
    const seconds = Math.min(AUTO_EXTENSION_SECONDS, desk.options?.wrap_up_extend_s_max ?? AUTO_EXTENSION_SECONDS);
    post(`/v1/operators/${me.id}/wrap-up/extend`, { call: work.call, seconds, reason }).catch(() => undefined);
  });

  $effect(() => {
    const { me } = desk;
    void desk.now;
    if (!me || !desk.live || quietFor() < NOTES_PAUSE_MS) return;
    for (const { call } of me.undisposed_work ?? []) {
      const draft = drafts.find(call);
      const notes = draft?.notes.trim() ?? '';
      if (!draft || !notes || notes === draft.saved_notes.trim() || sent.get(call) === notes) continue;
      sent.set(call, notes);
      post(`/v1/operators/${me.id}/wrap-up/notes`, { call, notes }).then(
        () => (draft.saved_notes = notes),
        (error) => {
          // What the daemon refuses stays with its draft; what did not reach it is tried again.
          if (error instanceof ApiError && error.status >= 400 && error.status < 500) return;
          sent.delete(call);
        },
      );
    }
  });
}
