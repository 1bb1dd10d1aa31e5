// Requests to the daemon: JSON in and out, problems (RFC 9457) as one error type, orders with an idempotency key.
//
// Invariant: every request goes to this page's own origin; an order that may have been carried out is repeated
// only with the key of the first try.

import type { Problem } from './types.ts';

/** How long a request may take before the page says that the daemon does not answer. */
const REQUEST_MS_MAX = 12_000;
/** The same of a file, which is written while the request waits. */
const DOWNLOAD_MS_MAX = 40_000;

/** The daemon said no, or nothing at all (`type` is then `unreachable`). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    readonly detail: string,
    readonly problem: Partial<Problem> & Record<string, unknown> = {},
  ) {
    super(detail || type);
  }
}

export type Query = Record<string, string | number | undefined>;

export function get<T>(path: string, query: Query = {}): Promise<T> {
  return request<T>('GET', withQuery(path, query));
}

/** A file that the daemon writes, and which the browser keeps under this name. */
export async function download(path: string, query: Query, name: string): Promise<void> {
  const response = await answered('GET', withQuery(path, query), DOWNLOAD_MS_MAX);
  const file = await response.blob().catch(() => {
    throw new ApiError(0, 'unreachable', '');
  });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser reads it after this.
  setTimeout(() => URL.revokeObjectURL(link.href), DOWNLOAD_MS_MAX);
}

function withQuery(path: string, query: Query): string {
  const pairs = Object.entries(query).filter((pair): pair is [string, string | number] => pair[1] !== undefined);
  const text = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** `key`: that of the first try, where this is a repeat. */
export const post = <T>(path: string, body?: unknown, key?: string): Promise<T> => request<T>('POST', path, body, key);
/** A file, with the media type that it has. */
export const postFile = <T>(path: string, query: Query, file: Blob): Promise<T> => request<T>('POST', withQuery(path, query), file);
/** `outlives`: it is sent even if the page is being closed; its body has at most 64 KiB. */
export const put = <T>(path: string, body?: unknown, outlives = false): Promise<T> => request<T>('PUT', path, body, newKey(), outlives);
/** In place of this version alone; 0: only where there is none. */
export const putVersion = <T>(path: string, body: unknown, version: number): Promise<T> =>
  request<T>('PUT', path, body, newKey(), false, { 'If-Match': `"${version}"` });
export const patch = <T>(path: string, body?: unknown): Promise<T> => request<T>('PATCH', path, body);
export const remove = <T>(path: string): Promise<T> => request<T>('DELETE', path);
/** Only if nobody changed the record since `seen`. */
export const removeSeen = <T>(path: string, seen: string): Promise<T> =>
  request<T>('DELETE', path, undefined, newKey(), false, { 'If-Match': `"${seen}"` });
/** So long an upload may take, in milliseconds. */
const UPLOAD_MS_MAX = 60_000;

/** Sends the bytes of a file. Without an idempotency key: the daemon keeps no body of this size to compare a repeat with. */
export async function upload<T>(path: string, query: Query, file: Blob, type = 'application/octet-stream', ms = UPLOAD_MS_MAX): Promise<T> {
  const response = await answered('POST', withQuery(path, query), ms, new Blob([file], { type }), '');
  return parsed(await textOf(response)) as T;
}

/** A change of the record whose `changed_at` is `seen`; refused (`record-changed`) if somebody changed it meanwhile. */
export const patchSeen = <T>(path: string, body: unknown, seen: string): Promise<T> =>
  request<T>('PATCH', path, body, newKey(), false, { 'If-Match': `"${seen}"` });

type Headers = Readonly<Record<string, string>>;

async function request<T>(method: string, path: string, body?: unknown, key = newKey(), keepalive = false, more: Headers = {}): Promise<T> {
  const response = await answered(method, path, REQUEST_MS_MAX, body, key, keepalive, more);
  return parsed(await textOf(response)) as T;
}

/** The answer of the daemon, if it is no problem. */
async function answered(
  method: string,
  path: string,
  ms: number,
  body?: unknown,
  key = newKey(),
  keepalive = false,
  more: Headers = {},
): Promise<Response> {
  const headers: Record<string, string> = { ...more };
  const isFile = body instanceof Blob;
  if (body !== undefined) headers['Content-Type'] = isFile ? body.type || 'application/octet-stream' : 'application/json';
  if (method !== 'GET' && key) headers['Idempotency-Key'] = key;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : isFile ? body : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      keepalive,
      signal: AbortSignal.timeout(ms),
    });
  } catch {
    throw new ApiError(0, 'unreachable', '');
  }
  return taken(response);
}

/** The answer, if it is no problem. */
async function taken(response: Response): Promise<Response> {
  if (response.ok) return response;
  const problem = (parsed(await textOf(response)) ?? {}) as Partial<Problem> & Record<string, unknown>;
  throw new ApiError(response.status, problem.type ?? 'unknown', problem.detail ?? problem.title ?? '', problem);
}

/** An answer that breaks off (a tab that was frozen meanwhile) is none. */
async function textOf(response: Response): Promise<string> {
  return response.text().catch(() => {
    throw new ApiError(0, 'unreachable', '');
  });
}

function parsed(text: string): unknown {
  if (!text) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** 128 random bits. `crypto.randomUUID` is missing on plain HTTP, which a local network may use. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
