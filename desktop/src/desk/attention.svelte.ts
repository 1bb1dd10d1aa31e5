// Calls, and requests for a supervisor's help, while the person looks elsewhere: a sound, a notification, the title
// of the tab. And the proof that a pop was shown.
//
// Invariant: nothing rings for what the page does not show as ringing or asked for, and nothing rings while the page
// does not know how things are.

import { t } from '../i18n/index.svelte.ts';
import { callerText } from '../text/caller.ts';
import { nameAt } from './choose.ts';
import { desk } from './desk.svelte.ts';
import { prefs } from './prefs.svelte.ts';
import { helpKey, type Call } from './state.ts';

const RING_EVERY_MS = 3_000;
const ACKNOWLEDGED_MAX = 200;

let sound: AudioContext | undefined;
const acknowledged = new Set<string>();
const shown = new Map<string, Notification>();

/** What somebody should look at now. */
interface Matter {
  key: string;
  title: string;
  body: string;
}

/** Browsers play sound only after the person has done something on the page. */
export function allowSound(): void {
  sound ??= new AudioContext();
  if (sound.state === 'suspended') void sound.resume();
}

/** To be called once, while the page lives. */
export function payAttention(): void {
  let hidden = $state(document.hidden);
  $effect(() => {
    const look = () => (hidden = document.hidden);
    document.addEventListener('visibilitychange', look);
    document.addEventListener('pointerdown', allowSound, { once: true });
    document.addEventListener('keydown', allowSound, { once: true });
    return () => document.removeEventListener('visibilitychange', look);
  });

  const ringing = $derived(desk.live ? desk.pops : []);

  $effect(() => {
    for (const call of ringing) prove(call, hidden);
  });

  const matters: Matter[] = $derived(desk.live ? [...ringing.map(ofCall), ...helpAsked()] : []);

  $effect(() => {
    const first = matters[0];
    document.title = first ? `☎ ${first.title}` : t('app.name');
  });

  $effect(() => {
    if (!hidden || !prefs.sound || matters.length === 0) return;
    ring();
    const timer = setInterval(ring, RING_EVERY_MS);
    return () => clearInterval(timer);
  });

  $effect(() => {
    const keys = new Set(matters.map((one) => one.key));
    for (const [key, notification] of shown) {
      if (keys.has(key) && hidden) continue;
      notification.close();
      shown.delete(key);
    }
    if (hidden && prefs.notifications) for (const matter of matters) notify(matter);
  });
}

function ofCall(call: Call): Matter {
  const title = call.card?.account.name || t('pop.unknown_account');
  return { key: call.id, title, body: call.card ? callerText(call.card.caller) : '' };
}

function helpAsked(): Matter[] {
  if (desk.state.viewer.role === 'operator') return [];
  return [...desk.state.help.values()].map(({ call, operator, card }) => ({
    key: helpKey(call, operator),
    title: t('board.help_from', { name: nameAt(desk.state, operator) }),
    body: card?.account.name ?? '',
  }));
}

/** After the next frame is on the screen the pop was shown; hidden pages paint nothing and prove nothing. */
function prove(call: Call, hidden: boolean): void {
  const event = call.pops[desk.state.viewer.extension ?? ''];
  // A pop that came with a snapshot has no event of its own here.
  const pop = event ?? call.id;
  if (hidden || acknowledged.has(pop)) return;
  acknowledged.add(pop);
  if (acknowledged.size > ACKNOWLEDGED_MAX) acknowledged.delete(acknowledged.values().next().value ?? '');
  requestAnimationFrame(() => {
    // A message is handled after the frame that this callback belongs to was painted.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      performance.mark('pop-painted', { detail: { call: call.id, event, at: Date.now() } });
      desk.acknowledge(call.id, event);
    };
    port2.postMessage(undefined);
  });
}

function notify({ key, title, body }: Matter): void {
  if (shown.has(key) || !('Notification' in window) || Notification.permission !== 'granted') return;
  const notification = new Notification(title, {
    body,
    tag: key,
    lang: prefs.language,
    icon: '/favicon.svg',
    requireInteraction: true,
  });
  notification.onclick = () => {
    window.focus();
    notification.close();
  };
  shown.set(key, notification);
}

/** Two soft tones. */
function ring(): void {
  if (!sound || sound.state !== 'running') return;
  const start = sound.currentTime;
  for (const [delay, frequency] of [
    [0, 659],
    [0.22, 880],
  ] as const) {
    const tone = sound.createOscillator();
    const volume = sound.createGain();
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0, start + delay);
    volume.gain.linearRampToValueAtTime(0.12, start + delay + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, start + delay + 0.6);
    tone.connect(volume).connect(sound.destination);
    tone.start(start + delay);
    tone.stop(start + delay + 0.65);
  }
}
