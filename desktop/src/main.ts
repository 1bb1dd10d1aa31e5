import { mount } from 'svelte';
import { prefs } from './desk/prefs.svelte.ts';
import { LANGUAGES, loadWords } from './i18n/index.svelte.ts';
import App from './ui/App.svelte';
import './ui/page.css';

/** Those of the chosen language, else any. */
async function loadsWords(): Promise<boolean> {
  for (const language of [prefs.language, ...LANGUAGES]) {
    if (await loadWords(language)) return true;
  }
  return false;
}

const target = document.getElementById('page');
if (target && (await loadsWords())) mount(App, { target });
