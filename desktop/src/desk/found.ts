// What is found by a text in any writing among the records that the page has; the daemon's are found by `/v1/search`. Pure.

import type { Account, Contact } from '../api/types.ts';
import { fold, foldNumber, hasNumber } from '../text/fold.ts';
import { kanaOf } from '../text/romaji.ts';

/** A text, as it is compared: as it is written, as kana where it is romaji, and as a number. */
export interface Sought {
  texts: readonly string[];
  digits: string | undefined;
}

export function soughtOf(text: string): Sought {
  const kana = kanaOf(text);
  const texts = [text, ...(kana ? [kana] : [])].map(fold).filter(Boolean);
  return { texts, digits: foldNumber(text) };
}

const hasText = ({ texts }: Sought, values: readonly (string | null | undefined)[]): boolean =>
  values.some((value) => value && texts.some((text) => fold(value).includes(text)));
const hasDigits = ({ digits }: Sought, numbers: readonly (string | null | undefined)[]): boolean =>
  digits !== undefined && numbers.some((number) => number && hasNumber(number, digits));

export function isAccount(one: Account, sought: Sought): boolean {
  return hasText(sought, [one.name, one.kana, one.code]) || hasDigits(sought, [...(one.dialled ?? []), ...(one.forwarding ?? [])]);
}

/** A number that callers must not learn finds nobody: to be found would give it away. */
export function isContact(one: Contact, sought: Sought): boolean {
  return hasText(sought, [one.name, one.kana, one.role]) || hasDigits(sought, one.do_not_tell ? [] : [one.number]);
}

/** Whether words of the page begin with the text, or have it inside. */
export function isWord(words: string, sought: Sought): boolean {
  return hasText(sought, [words]);
}
