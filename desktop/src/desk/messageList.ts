// Which messages the list shows, and in which order. Pure.
//
// | tab | shows | order |
// |---|---|---|
// | `attention` | what nobody of the account has had, held ones last | what must be seen to first, then the longest waiting |
// | all others | what their name says | newest first |

import type { Message } from '../api/types.ts';
import type { Query } from '../api/http.ts';
import { dayStart } from './history.ts';

export type Tab = 'attention' | 'open' | 'failed' | 'sent' | 'held' | 'complaint' | 'report' | 'test' | 'all';

const TABS: readonly Tab[] = ['open', 'failed', 'sent', 'held', 'complaint', 'report', 'test', 'all'];

/** The tabs of this role; the first one is open at the beginning. */
export const tabsOf = (role: string | undefined): readonly Tab[] => (role === 'operator' ? TABS : ['attention', ...TABS]);

/** What else a message must be. */
export interface Narrowed {
  q: string;
  account: string;
  taken_by: string;
  /** Days, as the browser writes them: 2026-04-01. */
  from: string;
  to: string;
}

export const EVERYTHING: Narrowed = { q: '', account: '', taken_by: '', from: '', to: '' };

/** What the daemon is asked for a tab: several questions, where one page of one of them may hide the most urgent. */
export function queriesOf(tab: Tab, narrowed: Narrowed): Query[] {
  const { q, account, taken_by, from, to } = narrowed;
  const all: Query = {
    q: q.trim() || undefined,
    account: account || undefined,
    taken_by: taken_by || undefined,
    from: from ? dayStart(from, 0).toISOString() : undefined,
    to: to ? dayStart(to, 1).toISOString() : undefined,
  };
  if (tab !== 'attention') return [{ ...all, ...QUERIES[tab] }];
  return [
    { state: 'open' },
    { state: 'failed' },
    { unanswered: 'true' },
    { state: 'open', mark: 'complaint' },
    { state: 'open', urgency: 'urgent' },
  ].map(
    (one) => ({ ...all, ...one }),
  );
}

const QUERIES: Record<Exclude<Tab, 'attention'>, Query> = {
  open: { state: 'open' },
  failed: { state: 'failed' },
  sent: { state: 'sent' },
  held: { state: 'open', held: 'true' },
  complaint: { mark: 'complaint' },
  report: { kind: 'report' },
  test: { kind: 'test' },
  all: {},
};

export const isHeld = (one: Message, now: number): boolean => one.state === 'open' && Date.parse(one.hold_until ?? '') > now;

/** Whether a message that changed belongs to the list; `isListed`: the daemon found it for what is searched for. */
export function belongsTo(one: Message, tab: Tab, narrowed: Narrowed, now: number, isListed: boolean): boolean {
  const at = Date.parse(one.created_at);
  const { account, taken_by, from, to } = narrowed;
  return (
    !one.withdrawn_at &&
    isIn(one, tab, now) &&
    (!narrowed.q.trim() || isListed) &&
    (!account || one.account === account) &&
    (!taken_by || one.taken_by === taken_by) &&
    (!from || at >= dayStart(from, 0).getTime()) &&
    (!to || at < dayStart(to, 1).getTime())
  );
}

function isIn(one: Message, tab: Tab, now: number): boolean {
  switch (tab) {
    case 'attention':
      return one.state === 'open' || one.state === 'failed' || isUnanswered(one);
    case 'open':
    case 'failed':
    case 'sent':
      return one.state === tab;
    case 'held':
      return isHeld(one, now);
    case 'complaint':
      return one.mark === 'complaint';
    case 'report':
    case 'test':
      return one.kind === tab;
    default:
      return true;
  }
}

/** It was sent, and its route was over before anybody confirmed. */
const isUnanswered = (one: Message): boolean => one.state === 'sent' && (one as Partial<Message>).delivery?.route?.state === 'unanswered';

/** Why a message must be seen to, the most urgent first. */
const WHYS = ['failed', 'unrouted', 'unanswered', 'complaint', 'overdue', 'urgent', 'waits', 'held', 'test'] as const;
export type Why = (typeof WHYS)[number];

/** How far the delivery of a message is. A daemon of an earlier version says nothing of it. */
export interface Delivered {
  state: string;
  reason?: string | null;
  next_at?: string | null;
  last_error?: string | null;
}

export const deliveryOf = (one: Message): Delivered | undefined => (one as { delivery?: Delivered }).delivery;

export function whyOf(one: Message, now: number): Why {
  if (one.kind === 'test') return 'test';
  if (one.state === 'failed') return 'failed';
  if (isUnanswered(one)) return 'unanswered';
  if (isHeld(one, now)) return 'held';
  const delivery = deliveryOf(one);
  if (delivery?.state === 'none' && delivery.reason && delivery.reason !== 'no_mail_server') return 'unrouted';
  if (one.mark === 'complaint') return 'complaint';
  const due = [one.call_back?.until, one.follow_up?.at].map((text) => Date.parse(text ?? ''));
  if (due.some((at) => at <= now)) return 'overdue';
  return one.urgency === 'urgent' ? 'urgent' : 'waits';
}

/** What must be seen to first; of equals the longest waiting. */
export function byAttention(all: readonly Message[], now: number): Message[] {
  const rank = new Map(all.map((one) => [one.id, WHYS.indexOf(whyOf(one, now))]));
  const older = (a: Message, b: Message) => (a.created_at < b.created_at ? -1 : a.created_at > b.created_at ? 1 : 0);
  return [...all].sort((a, b) => (rank.get(a.id) ?? 0) - (rank.get(b.id) ?? 0) || older(a, b));
}

export type MessageAlarm = 'failed' | 'unrouted' | 'unanswered' | 'complaint' | 'policy';

/** Why an event about a message, or about its mail, needs a supervisor at once, if it does. */
export function alarmOf(kind: string, data: Partial<Message> & { to?: string }): MessageAlarm | undefined {
  if (data.kind === 'test') return undefined;
  if (kind === 'bounce.policy') return 'policy';
  if (kind === 'message.failed') return 'failed';
  if (kind === 'message.unanswered') return data.to === 'taker' ? undefined : 'unanswered';
  if (kind !== 'message.saved') return undefined;
  const { delivery } = data;
  if (delivery?.state === 'none' && delivery.reason && delivery.reason !== 'no_mail_server') return 'unrouted';
  return data.mark === 'complaint' ? 'complaint' : undefined;
}
