// One form for all ways to write the same name, as the daemon folds it (src/contract/records/search.rs).

import { VARIANTS } from './variants.ts';

const COMMON: ReadonlyMap<string, string> = new Map(
  VARIANTS.flatMap((all) => {
    const [common, ...variants] = [...all];
    return variants.map((variant): [string, string] => [variant, common ?? variant]);
  }),
);
const LEFT_OUT = /[\s\p{Cc}・.,'\u2019\u200b-\u200f\u2060\ufeff\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;
const DASHES = /[-ー~〜\u2010-\u2015−─━]/g;
const NUMBER = /^[\d\s+().\/・ー~〜\u2010-\u2015−─━-]*$/;
const SMALL: Readonly<Record<string, string>> = {
  ぁ: 'あ', ぃ: 'い', ぅ: 'う', ぇ: 'え', ぉ: 'お', っ: 'つ', ゃ: 'や', ゅ: 'ゆ', ょ: 'よ', ゎ: 'わ', ゕ: 'か', ゖ: 'け',
};

/** The text in the form in which it is compared. */
export function fold(text: string): string {
  const marked = text.replaceAll('\u309b', '\u3099').replaceAll('\u309c', '\u309a');
  const lower = marked.normalize('NFKC').toLowerCase().normalize('NFKC');
  const plain = lower
    .replace(LEFT_OUT, '')
    .replaceAll('(株)', '株式会社')
    .replaceAll('(有)', '有限会社')
    .replace(/[ァ-ヶヽヾ]/g, (kana) => String.fromCharCode(kana.charCodeAt(0) - 0x60))
    .replace(DASHES, 'ー');
  let folded = '';
  let before = '';
  for (const c of plain) {
    const one = c === '々' && before ? before : (SMALL[c] ?? COMMON.get(c) ?? c);
    folded += one;
    before = one;
  }
  return folded.normalize('NFKC');
}

/** The digits of a text that is nothing but a telephone number or a part of one. */
export function foldNumber(text: string): string | undefined {
  const plain = text.normalize('NFKC');
  const digits = plain.replace(/\D/g, '');
  return NUMBER.test(plain) && digits.length >= 2 ? digits : undefined;
}

/** Whether the number, in its national or international form, has these digits in a row. */
export function hasNumber(number: string, digits: string): boolean {
  const own = number.normalize('NFKC').replace(/\D/g, '');
  const other = own.startsWith('81') ? own.replace('81', '0') : own.replace(/^0/, '81');
  return own.includes(digits) || other.includes(digits);
}
