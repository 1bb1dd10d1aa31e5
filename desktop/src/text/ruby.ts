// Which part of a name its kana stand over: kana say さくらしょうじ where the name says 株式会社さくら商事.

/** Legal forms, which kana usually leave out, and how those that do not leave them out begin. */
const FORMS: readonly (readonly [string, string])[] = [
  ['株式会社', 'かぶしきがいしゃ'],
  ['有限会社', 'ゆうげんがいしゃ'],
  ['合同会社', 'ごうどうがいしゃ'],
  ['合資会社', 'ごうしがいしゃ'],
  ['合名会社', 'ごうめいがいしゃ'],
  ['一般社団法人', 'いっぱん'],
  ['一般財団法人', 'いっぱん'],
  ['公益社団法人', 'こうえき'],
  ['公益財団法人', 'こうえき'],
  ['医療法人社団', 'いりょう'],
  ['医療法人財団', 'いりょう'],
  ['医療法人', 'いりょう'],
  ['社会福祉法人', 'しゃかい'],
  ['学校法人', 'がっこう'],
  ['宗教法人', 'しゅうきょう'],
  ['特定非営利活動法人', 'とくてい'],
  ['NPO法人', 'えぬぴーおー'],
  ['（株）', 'かぶ'],
  ['(株)', 'かぶ'],
  ['㈱', 'かぶ'],
  ['（有）', 'ゆう'],
  ['(有)', 'ゆう'],
  ['㈲', 'ゆう'],
];

export interface Ruby {
  before: string;
  base: string;
  after: string;
}

const spoken = (kana: string): string =>
  kana.normalize('NFKC').replace(/[ァ-ヶ]/g, (one) => String.fromCharCode(one.charCodeAt(0) - 0x60));

/** The part of the name that the kana say, and what stands before and after it. */
export function rubyOf(name: string, kana: string): Ruby {
  const said = spoken(kana);
  for (const [form, sound] of FORMS) {
    if (name.startsWith(form) && name.length > form.length && !said.startsWith(sound)) {
      const rest = name.slice(form.length);
      const base = rest.trimStart();
      return { before: form + rest.slice(0, rest.length - base.length), base, after: '' };
    }
    if (name.endsWith(form) && name.length > form.length && !said.includes(sound)) {
      const rest = name.slice(0, -form.length);
      const base = rest.trimEnd();
      return { before: '', base, after: rest.slice(base.length) + form };
    }
  }
  return { before: '', base: name, after: '' };
}
