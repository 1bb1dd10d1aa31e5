// The words of the public API, from its OpenAPI document, and those of its events, which it leaves open.

import type {
  AccountNotice,
  CallView,
  Card,
  OperatorState,
  Outcome,
  PbxStatus,
  Presence,
  SupervisionView,
  Transfer,
} from './schema.d.ts';

export type * from './schema.d.ts';

/** An event, or the first frame of a stream. */
export interface StreamEvent {
  id: string;
  kind: string;
  at: string;
  pbx?: string | null;
  call?: string | null;
  data: Record<string, unknown>;
}

export interface SnapshotData {
  pbx: PbxStatus[];
  calls: CallView[];
  operators: OperatorState[];
}

/** What the events of a call tell that is not over. */
export interface CardData extends Partial<Card> {
  operator?: string | null;
  /** Who has the call while it rings at `operator`. */
  had_by?: string;
  presented_to?: string[];
  offered_at?: string;
  answered_at?: string;
  state?: CallView['state'];
  /** Where a caller is who waits: each event tells all of it. */
  queue?: CallView['queue'];
  treatment?: CallView['treatment'];
  guidance?: CallView['guidance'];
  inferred?: boolean;
  /** Why the caller is back. */
  transfer?: Transfer;
}

export interface EndedData {
  outcome: Outcome;
  operators: string[];
  offered_at: string;
  answered_at?: string;
  ended_at?: string;
  inferred?: boolean;
}

export type SupervisionData = SupervisionView & { ending?: string };

/** What `notice.changed` tells: those of the account that are not over. */
export interface NoticesData {
  account: string;
  notices: AccountNotice[];
}

/** What `contact.presence` tells. */
export interface PresenceData {
  account: string;
  contact: string;
  presence: Presence;
}
