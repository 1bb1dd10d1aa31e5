// What goes with a copy of an account: each part is read from the one and written to the other.

import { ApiError, get, post, put } from '../api/http.ts';
import { all, type Fields } from './admin.svelte.ts';
import { CONTACT } from './fields.ts';

export const PARTS = ['contacts', 'callflow', 'scripts', 'routes', 'mail-templates', 'billing-plan', 'contract', 'report-plan'] as const;
export type Part = (typeof PARTS)[number];

const CONTRACT = ['formula', 'goal', 'period', 'within_s'] as const;
/** What the daemon adds to what a person wrote. */
const ADDED: ReadonlySet<string> = new Set(['by_name', 'changed_at']);

const written = (fields: Fields, names?: readonly string[]): Fields =>
  Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => (names ? names.includes(name) : !ADDED.has(name)) && value !== null && value !== undefined),
  );

/** The record at `path`, if there is one. */
async function found<T>(path: string): Promise<T | undefined> {
  try {
    return await get<T>(path);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

async function contacts(from: string, to: string) {
  // Who stands in for whom is of the other account's people.
  const names = CONTACT.map((field) => field.name).filter((name) => name !== 'account' && name !== 'deputy');
  for (const one of await all<Fields>('/v1/contacts', { account: from })) {
    await post('/v1/contacts', { ...written(one, names), account: to });
  }
}

async function scripts(from: string, to: string) {
  const { items } = await get<{ items: { script: string; state: string; body: string }[] }>(`/v1/accounts/${from}/scripts`);
  for (const script of new Set(items.map((one) => one.script))) {
    const versions = items.filter((one) => one.script === script);
    // The newest stands first; what operators read is the published one.
    const published = versions.find((one) => one.state === 'published');
    const body = (published ?? versions[0])?.body;
    if (body) await put(`/v1/accounts/${to}/scripts/${script}`, { body, publish: published !== undefined });
  }
}

/** A document of one path of the account, as a person wrote it. */
const document = (path: (account: string) => string, fields: (record: Fields) => Fields) => async (from: string, to: string) => {
  const record = await found<Fields>(path(from));
  const body = record && fields(record);
  if (body && Object.keys(body).length) await put(path(to), body);
};

const COPY: Readonly<Record<Part, (from: string, to: string) => Promise<void>>> = {
  contacts,
  scripts,
  callflow: document(
    (account) => `/v1/accounts/${account}/callflow`,
    (record) => (record.version ? written(record.fields as Fields) : {}),
  ),
  routes: document(
    (account) => `/v1/routes/${account}`,
    (record) => (record.body ? { body: record.body } : {}),
  ),
  'mail-templates': async (from, to) => {
    const { items } = await get<{ items: { name: string; body: string; is_own: boolean }[] }>(`/v1/accounts/${from}/mail-templates`);
    for (const { name, body } of items.filter((one) => one.is_own)) await put(`/v1/accounts/${to}/mail-templates/${name}`, { body });
  },
  'billing-plan': document((account) => `/v1/accounts/${account}/billing-plan`, written),
  contract: document(
    (account) => `/v1/accounts/${account}/contract`,
    (record) => written(record, CONTRACT),
  ),
  'report-plan': document(
    (account) => `/v1/accounts/${account}/report-plan`,
    (record) => written(record, ['mail_day', 'to']),
  ),
};

/** Copies the parts; returns those that could not be. */
export async function copyParts(parts: readonly Part[], from: string, to: string): Promise<Part[]> {
  const failed: Part[] = [];
  for (const part of parts) {
    await COPY[part](from, to).catch(() => failed.push(part));
  }
  return failed;
}
