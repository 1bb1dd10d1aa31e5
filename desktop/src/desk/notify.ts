// Notifications of what somebody should look at while the page is not in front.
//
// Where the page has its worker (https, this machine), a notification of a call has a button that answers it: the worker
// (`public/sw.js`) brings the page to the front and says which button was pressed. Elsewhere it can only be clicked.
//
// Invariant: what is notified is what was asked for last; an answer is given only for a call that still rings here.

export interface Notice {
  key: string;
  title: string;
  body: string;
  /** The label of the button that answers, where the call can be answered from the page. */
  answer: string;
}

const ICON = '/favicon.svg';

let wanted: readonly Notice[] = [];
/** One change after the other. */
let last: Promise<void> = Promise.resolve();
const plain = new Map<string, Notification>();
const shown = new Set<string>();

function mayNotify(): boolean {
  return 'Notification' in globalThis && Notification.permission === 'granted';
}

/** Shows these and no others. */
export function notifyOf(notices: readonly Notice[], lang: string): void {
  wanted = mayNotify() ? notices : [];
  last = last.then(() => change(lang)).catch(() => undefined);
}

async function change(lang: string): Promise<void> {
  if (!wanted.length && !shown.size) return;
  const worker = await navigator.serviceWorker?.getRegistration();
  const keys = new Set(wanted.map((one) => one.key));
  for (const key of shown) {
    if (keys.has(key)) continue;
    shown.delete(key);
    plain.get(key)?.close();
    plain.delete(key);
    for (const one of (await worker?.getNotifications({ tag: key })) ?? []) one.close();
  }
  for (const { key, title, body, answer } of wanted) {
    if (shown.has(key)) continue;
    shown.add(key);
    const options = { body, tag: key, lang, icon: ICON, requireInteraction: true };
    const actions = answer ? [{ action: 'answer', title: answer }] : [];
    if (worker?.active) await worker.showNotification(title, { ...options, actions } as NotificationOptions);
    else plain.set(key, clickable(new Notification(title, options)));
  }
}

function clickable(notification: Notification): Notification {
  notification.onclick = () => {
    window.focus();
    notification.close();
  };
  return notification;
}

/** Calls `answer` with the call whose button was pressed. Returns what ends it. */
export function onAnswer(answer: (call: string) => void): () => void {
  const heard = (event: MessageEvent<unknown>) => {
    const { data } = event;
    if (data && typeof data === 'object' && 'answer' in data && typeof data.answer === 'string') answer(data.answer);
  };
  navigator.serviceWorker?.addEventListener('message', heard);
  return () => navigator.serviceWorker?.removeEventListener('message', heard);
}
