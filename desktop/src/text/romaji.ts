// Names typed in Latin letters, as kana: yamada is やまだ, shouji and syouji are しょうじ. Hepburn and Kunrei, as input methods
// take them. Pure.

const VOWELS = 'aiueo';

/** For each beginning of a syllable, what it is with a, i, u, e, o; a dash where there is no such syllable. */
const ROWS: Readonly<Record<string, string>> = {
  '': 'あ い う え お', k: 'か き く け こ', g: 'が ぎ ぐ げ ご', s: 'さ し す せ そ', z: 'ざ じ ず ぜ ぞ', t: 'た ち つ て と', d: 'だ ぢ づ で ど',
  n: 'な に ぬ ね の', h: 'は ひ ふ へ ほ', b: 'ば び ぶ べ ぼ', p: 'ぱ ぴ ぷ ぺ ぽ', m: 'ま み む め も', y: 'や - ゆ - よ', r: 'ら り る れ ろ',
  w: 'わ うぃ - うぇ を', f: 'ふぁ ふぃ ふ ふぇ ふぉ', j: 'じゃ じ じゅ じぇ じょ', v: 'ゔぁ ゔぃ ゔ ゔぇ ゔぉ', l: 'ら り る れ ろ', c: 'か し く せ こ',
  sh: 'しゃ し しゅ しぇ しょ', ch: 'ちゃ ち ちゅ ちぇ ちょ', ts: 'つぁ つぃ つ つぇ つぉ', ky: 'きゃ - きゅ - きょ', gy: 'ぎゃ - ぎゅ - ぎょ', sy: 'しゃ - しゅ - しょ',
  zy: 'じゃ - じゅ - じょ', jy: 'じゃ - じゅ - じょ', ty: 'ちゃ - ちゅ - ちょ', cy: 'ちゃ - ちゅ - ちょ', dy: 'ぢゃ - ぢゅ - ぢょ', ny: 'にゃ - にゅ - にょ', hy: 'ひゃ - ひゅ - ひょ',
  by: 'びゃ - びゅ - びょ', py: 'ぴゃ - ぴゅ - ぴょ', my: 'みゃ - みゅ - みょ', ry: 'りゃ - りゅ - りょ', th: '- てぃ - - -', dh: '- でぃ - - -',
};
const KANA: ReadonlyMap<string, string> = new Map(
  Object.entries(ROWS).flatMap(([start, row]) => {
    const pairs = row.split(' ').map((kana, at): [string, string] => [`${start}${VOWELS[at] ?? ''}`, kana]);
    return pairs.filter(([, kana]) => kana !== '-');
  }),
);
const SYLLABLE_MAX = 3;
const LONG: Readonly<Record<string, string>> = { ā: 'aa', ī: 'ii', ū: 'uu', ē: 'ee', ō: 'ou', â: 'aa', î: 'ii', û: 'uu', ê: 'ee', ô: 'ou' };

/** The kana of a text that is nothing but romaji, or the beginning of it; nothing for any other text. */
export function kanaOf(text: string): string | undefined {
  const plain = text.normalize('NFKC').toLowerCase().replace(/[āīūēōâîûêô]/g, (long) => LONG[long] ?? long).replace(/\s/g, '').replaceAll('’', "'");
  if (!/^[a-z'-]+$/.test(plain) || !/[aeioun]/.test(plain)) return undefined;
  let kana = '';
  let at = 0;
  while (at < plain.length) {
    const rest = plain.slice(at);
    const first = rest[0] ?? '';
    const double = first === rest[1] && !VOWELS.includes(first) && !"n-'".includes(first);
    // mb, mp and mm stand for んb, んp and んm; tch for っch.
    const isNasal = first === 'n' ? !/^n[aiueoy]/.test(rest) : /^m[bpm]/.test(rest);
    if (isNasal) {
      kana += 'ん';
      at += /^nn(?![aiueoy])/.test(rest) ? 2 : 1;
    } else if (double || rest.startsWith('tch')) {
      kana += 'っ';
      at += 1;
    } else if (first === "'") {
      // It ended a nasal: jun'ichi.
      at += 1;
    } else if (first === '-') {
      kana += 'ー';
      at += 1;
    } else {
      const length = [SYLLABLE_MAX, 2, 1].find((n) => rest.length >= n && KANA.has(rest.slice(0, n)));
      // The last syllable may be on its way.
      if (!length) return rest.length < SYLLABLE_MAX && !/[aiueo]/.test(rest) && kana ? kana : undefined;
      kana += KANA.get(rest.slice(0, length)) ?? '';
      at += length;
    }
  }
  return kana;
}
