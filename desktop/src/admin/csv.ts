// A CSV file for spreadsheets: UTF-8 with a byte order mark, every cell in quotes, none that would be carried out. Pure.

const FORMULA = /^[\s\p{Cc}]*[=+\-@＝＋－＠]/u;

export function csvOf(rows: readonly (readonly string[])[]): string {
  const cell = (text: string) => `"${FORMULA.test(text) ? "'" : ''}${text.replaceAll('"', '""')}"`;
  return `\ufeff${rows.map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`;
}
