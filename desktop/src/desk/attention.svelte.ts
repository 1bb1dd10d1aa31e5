// Calls, and requests for a supervisor's help, while the person looks elsewhere: a sound, a notification, the title
// of the tab. And the proof that a pop was shown.
//
// Invariant: nothing rings for what the page does not show as ringing or asked for, and nothing rings while the page
// does not know how things are.

import { untrack } from 'svelte';
import { t } from '../i18n/index.svelte.ts';
import { callerText } from '../text/caller.ts';
import { allowed, nameAt } from './choose.ts';
import { desk } from './desk.svelte.ts';
import { notifyOf, onAnswer, type Notice } from './notify.ts';
import { prefs } from './prefs.svelte.ts';
import { helpKey, type Call, type DeskState } from './state.ts';

const RING_EVERY_MS = 3_000;
const ACKNOWLEDGED_MAX = 200;

let sound: AudioContext | undefined;
const acknowledged = new Set<string>();

/** Browsers play sound only after the person has done something on the page. */
export function allowSound(): void {
  sound ??= new AudioContext();
  if (sound.state === 'suspended') void sound.resume();
}

/** To be called once, while the page lives. `hasFocusToo`: whether another window of the page is looked at. */
export function payAttention(hasFocusToo: () => boolean): void {
  let hidden = $state(document.hidden);
  // A page beside another program is seen, and the person looks at the other one.
  let away = $state(!document.hasFocus());
  $effect(() => {
    const look = () => [hidden, away] = [document.hidden, document.hidden || !(document.hasFocus() || hasFocusToo())];
    document.addEventListener('visibilitychange', look);
    addEventListener('focus', look);
    addEventListener('blur', look);
    document.addEventListener('pointerdown', allowSound, { once: true });
    document.addEventListener('keydown', allowSound, { once: true });
    return () => {
      document.removeEventListener('visibilitychange', look);
      removeEventListener('focus', look);
      removeEventListener('blur', look);
    };
  });

  const ringing = $derived(desk.live ? desk.pops : []);

  $effect(() => {
    for (const call of ringing) prove(call, hidden);
  });

  // Its map is another one when a request comes or goes, and not with each event.
  const help = $derived(desk.state.help);
  const matters: Notice[] = $derived(desk.live ? [...ringing.map(ofCall), ...helpAsked(help)] : []);
  const count = $derived(matters.length);

  $effect(() => {
    const first = matters[0];
    document.title = first ? `☎ ${first.title}` : t('app.name');
  });

  $effect(() => {
    if (!away || !prefs.sound || matters.length === 0) return;
    ring();
    const timer = setInterval(ring, RING_EVERY_MS);
    return () => clearInterval(timer);
  });

  let heard = desk.messageAlarms;
  $effect(() => {
    if (desk.messageAlarms > heard) alarm();
    heard = desk.messageAlarms;
  });

  $effect(() => notifyOf(away && prefs.notifications ? matters : [], prefs.language));

  // The number on the icon of an installed page.
  $effect(() => {
    const badge = navigator as { setAppBadge?: (count: number) => Promise<void> };
    void badge.setAppBadge?.(count).catch(() => undefined);
  });

  $effect(() =>
    onAnswer((id) => {
      const call = ringing.find((one) => one.id === id);
      if (call && allowed(desk.state, call).has('answer')) void desk.callOrder(call, 'answer');
    }),
  );
}

function ofCall(call: Call): Notice {
  const title = call.card?.account.name || t('pop.unknown_account');
  // It rings: that, and not the rest of the state, decides.
  const answer = untrack(() => desk.offers(call)).has('answer') ? t('order.answer') : '';
  return { key: call.id, title, body: call.card ? callerText(call.card.caller) : '', answer };
}

function helpAsked(help: DeskState['help']): Notice[] {
  if (desk.session?.role === 'operator') return [];
  return [...help.values()].map(({ call, operator, card }) => ({
    key: helpKey(call, operator),
    title: t('board.help_from', { name: untrack(() => nameAt(desk.state, operator)) }),
    body: card?.account.name ?? '',
    answer: '',
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

/** Two soft tones, upwards: a call. */
const RING = [[0, 659], [0.22, 880]] as const;
/** Three, downwards: a figure is beyond its threshold, or a message needs a supervisor. */
const ALARM = [[0, 880], [0.18, 698], [0.36, 523]] as const;

const ring = (): void => play(RING);

/** A figure became an alarm, or a message needs a supervisor. */
export function alarm(): void {
  if (prefs.sound) play(ALARM);
}

function play(tones: readonly (readonly [number, number])[]): void {
  if (!sound || sound.state !== 'running') return;
  const start = sound.currentTime;
  for (const [delay, frequency] of tones) {
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
