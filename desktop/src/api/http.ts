// Requests to the daemon: JSON in and out, problems (RFC 9457) as one error type, orders with an idempotency key.
//
// Invariant: every request goes to this page's own origin; an order that may have been carried out is repeated
// only with the key of the first try.

import type { Problem } from './types.ts';

/** How long a request may take before the page says that the daemon does not answer. */
const REQUEST_MS_MAX = 12_000;

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
  const pairs = Object.entries(query).filter((pair): pair is [string, string | number] => pair[1] !== undefined);
  const text = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
  return request<T>('GET', text ? `${path}?${text}` : path);
}

/** `key`: that of the first try, where this is a repeat. */
export const post = <T>(path: string, body?: unknown, key?: string): Promise<T> => request<T>('POST', path, body, key);
export const put = <T>(path: string, body?: unknown): Promise<T> => request<T>('PUT', path, body);
export const patch = <T>(path: string, body?: unknown): Promise<T> => request<T>('PATCH', path, body);
export const remove = <T>(path: string): Promise<T> => request<T>('DELETE', path);

async function request<T>(method: string, path: string, body?: unknown, key = newKey()): Promise<T> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET') headers['Idempotency-Key'] = key;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
    });
  } catch {
    throw new ApiError(0, 'unreachable', '');
  }
  // An answer that breaks off (a tab that was frozen meanwhile) is none.
  const text = await response.text().catch(() => {
    throw new ApiError(0, 'unreachable', '');
  });
  const json = parsed(text);
  if (!response.ok) {
    const problem = (json ?? {}) as Partial<Problem> & Record<string, unknown>;
    throw new ApiError(response.status, problem.type ?? 'unknown', problem.detail ?? problem.title ?? '', problem);
  }
  return json as T;
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
