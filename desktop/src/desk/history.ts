// Finished calls as the daemon keeps them, in the form in which the page shows what was done.

import type { Finished } from '../api/types.ts';
import type { PastCall } from './state.ts';

export function asPast(call: Finished): PastCall {
  const past: PastCall = {
    id: call.id,
    card: {
      caller: {
        presentation: call.presentation,
        ...(call.caller ? { number: call.caller } : {}),
      },
      account: { name: call.account_name ?? '', kana: '', answer_phrase: '', notes: '', matched_by: call.matched_by },
      customers: [],
      history: { calls: 0, open_messages: 0 },
    },
    offered_at: call.offered_at,
    ended_at: call.ended_at,
    outcome: call.outcome,
    operators: call.operators,
  };
  if (call.answered_at) past.answered_at = call.answered_at;
  return past;
}
