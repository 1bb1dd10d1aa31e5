// The scripts of an account while somebody edits them: the versions, and the text that is being written.
//
// Invariant: what is written stays until it is saved or put aside by name, also while another view is open; and it is saved as the
// version after the newest one that the person has seen, or not at all.

import { ApiError, get, post, put, remove } from '../api/http.ts';
import type { Account, ScriptFinding, ScriptRecord, WrittenScript } from '../api/types.ts';
import { desk } from './desk.svelte.ts';

interface Page {
  items: ScriptRecord[];
}

/** The code of an account's first script. */
const FIRST = 'usual';

export class ScriptEditor {
  /** Of each script the newest version and those that are live. */
  list = $state.raw<readonly ScriptRecord[]>([]);
  isLoaded = $state(false);
  /** The script that is edited; nothing: none. */
  code = $state('');
  versions = $state.raw<readonly ScriptRecord[]>([]);
  /** The version that the text began with; 0: a new script. */
  base = $state(0);
  body = $state('');
  private begun = $state('');
  /** Why the daemon refused the text. */
  refused = $state.raw<readonly ScriptFinding[]>([]);
  /** Somebody else saved this version meanwhile. */
  other = $state.raw<ScriptRecord | undefined>();

  codes = $derived([...new Set(this.list.map((one) => one.script))]);
  newest = $derived(this.versions[0]?.version ?? 0);
  isChanged = $derived(this.body !== this.begun);
  isLive = $derived(this.versions.some((one) => one.state === 'live'));

  constructor(readonly account: Account) {}

  private get path(): string {
    return `/v1/accounts/${this.account.id}/scripts`;
  }

  async load(): Promise<void> {
    this.list = (await get<Page>(this.path)).items;
    this.isLoaded = true;
    if (this.isChanged) return;
    const code = this.code || (this.list.find((one) => one.state === 'live') ?? this.list[0])?.script;
    if (code) await this.open(code);
    else this.begin(FIRST);
  }

  /** Opens the newest version of a script, or this one. */
  async open(code: string, version?: number): Promise<void> {
    const [versions, one] = await Promise.all([
      get<Page>(`${this.path}/${code}/versions`),
      get<ScriptRecord>(`${this.path}/${code}`, { version }),
    ]);
    this.versions = versions.items;
    this.code = code;
    this.becomes(one.body ?? '', one.version);
  }

  /** Begins a new script. */
  begin(code: string): void {
    this.code = code;
    this.versions = [];
    this.becomes(template(this.account), 0);
  }

  private becomes(body: string, version: number): void {
    this.body = this.begun = body;
    this.base = version;
    this.refused = [];
    this.other = undefined;
  }

  /** Saves the text as the next version; `publishes`: it is live at once. */
  save(publishes: boolean): Promise<boolean> {
    const [code, body] = [this.code, this.body];
    return this.writes(() => put<WrittenScript>(`${this.path}/${code}`, { body, version: this.newest, publish: publishes }));
  }

  /** Publishes the version that is shown: the newest draft, or a copy of an older one. */
  publish(): Promise<boolean> {
    return this.writes(() => post<WrittenScript>(`${this.path}/${this.code}/publish`, { version: this.base, newest: this.newest }));
  }

  retire(): Promise<boolean> {
    return desk.order(async () => {
      await remove(`${this.path}/${this.code}`);
      desk.say('scripts.is_retired');
      await this.load();
    });
  }

  /** The version that somebody else saved is the newest: what is written can be saved after it. */
  private takeOther(other: ScriptRecord): void {
    this.other = other;
    this.versions = [{ ...other }, ...this.versions.filter((one) => one.version !== other.version)];
  }

  private async writes(write: () => Promise<WrittenScript>): Promise<boolean> {
    const written = this.body;
    this.refused = [];
    return desk.order(async () => {
      const answer = await write().catch((error: unknown) => {
        if (error instanceof ApiError && error.type === 'script-invalid') this.refused = (error.problem['findings'] as ScriptFinding[]) ?? [];
        const other = error instanceof ApiError ? (error.problem['script'] as ScriptRecord | undefined) : undefined;
        if (other) this.takeOther(other);
        throw error;
      });
      const { version, state } = answer.script;
      desk.say(state === 'live' ? 'scripts.is_live' : 'scripts.is_saved', { version });
      this.list = (await get<Page>(this.path)).items;
      // What was typed while the answer was on its way is not in it.
      if (this.body === written) await this.open(this.code);
      else this.versions = (await get<Page>(`${this.path}/${this.code}/versions`)).items;
    });
  }
}

/** A script to begin with. */
function template({ code, name }: Account): string {
  return `format = 1
account = ${JSON.stringify(code)}
name = ${JSON.stringify(name)}

[opening]
open = "{greeting}。{company}、{operator}でございます。"
closed = "お電話ありがとうございます。{company}でございます。本日の受付は終了しておりますが、ご伝言を承ります。"

[closing]
say = "{operator}が承りました。お電話ありがとうございました。"

[[reason]]
code = "inquiry"
label = "お問い合わせ"
key = "1"
action = "call_back"

[[step]]
id = "who"
say = "お名前とお電話番号をお願いいたします。"
ask = [
  { id = "name", label = "お名前", type = "kana", required = true, to = "from.name" },
  { id = "company", label = "会社名", type = "text", max = 120, to = "from.company" },
  { id = "tel", label = "お電話番号", type = "phone", required = "soft", to = "from.number" },
]

[[step]]
id = "what"
ask = [{ id = "what", label = "内容", type = "lines", max = 800, required = true, to = "text" }]
`;
}

/** Those that are open, by person and account: another view does not lose what is written. */
const open = new Map<string, ScriptEditor>();

export function editorOf(account: Account): ScriptEditor {
  const key = `${desk.session?.user}/${account.id}`;
  const known = open.get(key);
  if (known) return known;
  // Of one whom somebody else was, nothing is shown.
  for (const other of open.keys()) if (!other.startsWith(`${desk.session?.user}/`)) open.delete(other);
  const editor = new ScriptEditor(account);
  open.set(key, editor);
  return editor;
}

export const hasUnsavedScripts = (): boolean => [...open.values()].some((one) => one.isChanged);
