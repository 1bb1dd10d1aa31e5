// What a person chooses for themselves; kept in this browser, and holds nothing about calls or people.

import type { Language } from '../i18n/index.svelte.ts';

export type Theme = 'system' | 'light' | 'dark';
export const SIZES = ['standard', 'large', 'largest'] as const;
export type Size = (typeof SIZES)[number];

interface Prefs {
  language: Language;
  theme: Theme;
  size: Size;
  /** Single keys do things (they can be turned off: WCAG 2.1.4). */
  keys: boolean;
  sound: boolean;
  /** The caret goes into the message as soon as a call is answered. */
  write: boolean;
  notifications: boolean;
  /** Accounts and contacts stay readable after a reload without a connection. */
  keep: boolean;
}

const KEY = 'toritsugi.prefs';

function read(): Prefs {
  const language: Language = navigator.language.toLowerCase().startsWith('ja') ? 'ja' : 'en';
  const prefs: Prefs = { language, theme: 'system', size: 'standard', keys: true, sound: true, write: false, notifications: false, keep: true };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Prefs>;
    if (kept.language === 'ja' || kept.language === 'en') prefs.language = kept.language;
    if (kept.theme === 'light' || kept.theme === 'dark') prefs.theme = kept.theme;
    prefs.size = SIZES.find((one) => one === kept.size) ?? 'standard';
    for (const key of ['keys', 'sound', 'write', 'notifications', 'keep'] as const) {
      if (typeof kept[key] === 'boolean') prefs[key] = kept[key];
    }
  } catch {
    // A browser that keeps nothing, or nonsense: the defaults hold.
  }
  return prefs;
}

export const prefs = $state(read());

/** Keeps the choices and lets the document follow them. */
export function followPrefs(): void {
  $effect(() => {
    document.documentElement.lang = prefs.language;
    document.documentElement.dataset['theme'] = prefs.theme;
    document.documentElement.dataset['size'] = prefs.size;
    try {
      localStorage.setItem(KEY, JSON.stringify(prefs));
    } catch {
      // Then it holds for this page alone.
    }
  });
}
