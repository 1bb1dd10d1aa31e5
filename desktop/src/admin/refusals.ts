// What the daemon says about a field, a row or a file, in Japanese. The API speaks English; what is not in this list is shown
// as it came.

/** English and Japanese; `{}` stands for a part that is taken over. In Japanese `{2}` is the second part. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['line {}: {}', '{1} 行目：{2}'],
  ['column {}: {}', '{1} 列目：{2}'],
  ['must not be empty', '入力してください'],
  ['longer than {} characters', '{1} 文字以内にしてください'],
  ['longer than {} bytes together', '合わせて {1} バイト以内にしてください'],
  ['at most {} numbers', '番号は {1} 件までです'],
  ['at most {} flags', '区分は {1} 件までです'],
  ['at most {} characters', '{1} 文字までです'],
  ['at most {} seconds', '{1} 秒までです'],
  ['at most {} days', '{1} 日までです'],
  ['at most {} times', '{1} 件までです'],
  ['at most {}', '{1} までです'],
  ['from {} to {} seconds', '{1} 秒から {2} 秒までにしてください'],
  ['from {} to {} minutes', '{1} 分から {2} 分までにしてください'],
  ['from {} to {}', '{1} から {2} までにしてください'],
  ['{} to {} seconds', '{1} 秒から {2} 秒までにしてください'],
  ['{} to {} characters', '{1} 文字から {2} 文字までにしてください'],
  ["{} to {} letters, digits, '_' or '-'", '{1} 文字から {2} 文字までの英数字、_、- にしてください'],
  ['write a time after from, in the future', '開始よりあとの、これからの時刻にしてください'],
  ['an end in the future, after the beginning', '開始よりあとの、これからの時刻にしてください'],
  ['write an end after the beginning', '終わりは始まりよりあとにしてください'],
  ['write a time after absent_from', '不在の始まりよりあとにしてください'],
  ['a time to come', 'これからの時刻にしてください'],
  ['too far away', '先すぎます'],
  ['write each kind once', '同じ種類は一度だけ書いてください'],
  ['write why this caller is refused', '着信を断る理由を書いてください'],
  ['whom to call', '呼び出す番号を書いてください'],
  ['numbers of this country in digits (09012345678), or extensions', '国内の番号（09012345678 のように数字だけ）か内線番号にしてください'],
  ['{} is not a telephone number: {}', '{1} は電話番号ではありません（{2}）'],
  ['{} is not a telephone number', '{1} は電話番号ではありません'],
  ['{} is not a number prefix: {} to {} digits', '{1} は番号の先頭ではありません（{2} 桁から {3} 桁）'],
  ['it has more than {} digits; {}', '{1} 桁より長いです。{2}'],
  ['it has {} digits, and one that begins so has {}; {}', '{1} 桁あります。この始まりの番号は {2} 桁です。{3}'],
  ['several numbers are separate, in a file with ; between them', '番号が複数あれば分けてください。ファイルでは ; で区切ります'],
  ['digits are missing; write it with its area code', '桁が足りません。市外局番から書いてください'],
  ['no line has this number', 'この番号の電話はありません'],
  ['{} is on line {} already', '{1} は {2} 行目にもあります'],
  ['{} is in the file twice', '{1} が二度あります'],
  ['{} is not a whole number', '{1} は整数ではありません'],
  ['{} is neither yes nor no', '{1} は yes か no ではありません'],
  ['{} is unknown; the configuration has no [mail.hosts]', '{1} は設定にありません（[mail.hosts] がありません）'],
  ['{} is not one of {}', '{1} は {2} のどれでもありません'],
  ['there is no account with the code {}; import accounts first', 'コード {1} の契約先がありません。先に契約先を取り込んでください'],
  ['{} is neither a day (2026-12-10) nor a time (2026-12-10 18:00)', '{1} は日（2026-12-10）でも日時（2026-12-10 18:00）でもありません'],
  ['{} is not a day such as 2026/1/1', '{1} は 2026/1/1 のような日ではありません'],
  ['{} is a formula; write its value', '{1} は数式です。値を書いてください'],
  ['a day and its name are expected', '日と名前が要ります'],
  ['the name must have 1 to {} characters', '名前は {1} 文字までで、空にはできません'],
  ['the text is not {}', '{1} として読めません'],
  ['the column {} appears twice', '列 {1} が二つあります'],
  ['the file has no column {}; its columns are: {}', '列 {1} がありません。ファイルの列：{2}'],
  ['more than {} columns', '列が {1} より多いです'],
  ['it has {} cells, and the header names {}; {}', '{1} 列ありますが、見出しは {2} 列です。{3}'],
  ['column {} holds something and has no name in the header; {}', '{1} 列目に値がありますが、見出しがありません。{2}'],
  ['write a cell that has a comma in it in quotes (")', 'カンマのある値は " で囲んでください'],
  ['cannot read the file', 'ファイルを読めません'],
  ['the file is empty; its first line must name the columns', 'ファイルが空です。一行目に列の名前を書いてください'],
  ['the file is UTF-16; save it as CSV in UTF-8 (or Shift_JIS) and try again', 'UTF-16 のファイルです。CSV（UTF-8 か Shift_JIS）で保存し直してください'],
  ['the file is larger than {} GiB; split it', '{1} GiB より大きいです。分けてください'],
  ['the file has more than {} rows; split it', '{1} 行より多いです。分けてください'],
  ['the record does not end; is a closing quote (") missing?', '行が終わりません。閉じる " が抜けていませんか'],
  ['the quote (") that is opened here is never closed; {}', 'ここで開いた " が閉じられていません。値の中の " は "" と書きます'],
  ['the cell in quotes (") that begins here goes on behind its closing quote; {}', '" で囲んだ値が、閉じる " のあとに続いています。値の中の " は "" と書きます'],
  ['a space stands before a quote ("), so that the quote does not begin the cell; remove the space', '" の前に空白があります。空白を消してください'],
  ["{} of the rows can't be imported; nothing was changed", '{1} 行を取り込めません。何も変えていません'],
  ['the import stopped after {} rows, which are imported; import the same file again for the rest', '{1} 行を取り込んだところで止まりました。残りは、同じファイルをもう一度取り込んでください'],
];

const RULES = PAIRS.map(([english, japanese]) => {
  const parts = english.split('{}').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return { pattern: new RegExp(`^${parts.join('(.+?)')}$`, 's'), japanese };
});

/** A field before its problem, as the API writes it. */
const FIELD = /^([a-z][a-z0-9_.]*): (.+)$/s;

/** `text` in Japanese; `label` has the words of a field. */
export function inJapanese(text: string, label: (field: string) => string | undefined): string {
  for (const { pattern, japanese } of RULES) {
    const found = pattern.exec(text);
    if (found) return japanese.replace(/\{(\d)\}/g, (_, part: string) => inJapanese(found[Number(part)] ?? '', label));
  }
  const [, field, rest] = FIELD.exec(text) ?? [];
  return field && rest ? `${label(field) ?? field}：${inJapanese(rest, label)}` : text;
}
