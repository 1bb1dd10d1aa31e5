// Whose call a draft belongs to.

import type { About } from './drafts.svelte.ts';
import type { Call } from './state.ts';

export function aboutCall({ card, offered_at }: Call): About {
  const { account, customers } = card ?? {};
  return {
    account: account?.id ?? '',
    account_name: account?.name ?? '',
    customer: customers?.length === 1 ? (customers[0]?.id ?? '') : '',
    at: Date.parse(offered_at),
  };
}
