// Where a contact is: what an operator wrote down, else the absence in the contact's record. Pure.

import type { Contact, PresenceState } from '../api/types.ts';

export interface Whereabouts {
  state: PresenceState;
  until: string;
  /** Who wrote it down, and when; nothing where the record says so. */
  by?: string;
  at?: string;
}

/** Where the contact is at this time; nothing where nobody said. */
export function whereabouts(one: Contact, now: number): Whereabouts | undefined {
  const { presence, absent_from, absent_until } = one;
  if (presence && Date.parse(presence.until) > now) {
    return { state: presence.state, until: presence.until, by: presence.by_name, at: presence.at };
  }
  const isAbsent = absent_until && Date.parse(absent_until) > now && !(absent_from && Date.parse(absent_from) > now);
  return isAbsent ? { state: 'away', until: absent_until } : undefined;
}
