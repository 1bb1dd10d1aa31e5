// What tells companies apart at a glance besides their names: a letter and a colour, the same everywhere and every day. Pure.

/** What a company is called besides its name. */
const KINDS =
  /^(?:株式会社|有限会社|合同会社|合資会社|合名会社|一般社団法人|公益社団法人|一般財団法人|公益財団法人|社会福祉法人|医療法人(?:社団|財団)?|学校法人|宗教法人|税理士法人|弁護士法人|司法書士法人|特定非営利活動法人|NPO法人|\(株\)|\(有\)|㈱|㈲|the\s)\s*/i;

/** The first letter of the name itself. */
export function monogramOf(name: string): string {
  const text = name.normalize('NFKC').trim();
  const own = text.replace(KINDS, '') || text;
  return [...new Intl.Segmenter('ja').segment(own)][0]?.segment.toUpperCase() ?? '';
}

/** The number of colours: with more, neighbours look alike. */
const HUES = 12;

/** A hue in degrees. */
export function hueOf(id: string): number {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9_973;
  return (sum % HUES) * (360 / HUES);
}
