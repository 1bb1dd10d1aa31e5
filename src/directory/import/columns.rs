//! The columns of a file, with their Japanese and English names, and the conversion of a row to a record.
//!
//! | accounts | customers | contacts | names (the first is ours; spaces, case and full width don't matter) |
//! |---|---|---|---|
//! | | required | required | `account`, 契約先コード, 契約企業コード, 会員コード, 会社コード |
//! | required | required | required | `code`, コード, 契約先コード, 契約企業コード, 会員コード, 会社コード; 顧客コード, お客様コード; 担当者コード |
//! | required | required | required | `name`, 名称, 会社名, 契約先名, 契約企業名; 氏名, お名前, 顧客名; 担当者名 |
//! | yes | yes | yes | `kana`, カナ, ふりがな, フリガナ, 読み |
//! | yes | | | `answer_phrase`, 応答文, 応答フレーズ, 名乗り |
//! | yes | yes | | `notes`, 備考, メモ, 注意事項, 連絡事項 |
//! | yes | | | `dialled`, 着信番号; `forwarding`, 転送元番号 |
//! | yes | | | `accept_sound`, 応答確認音声; `extra_numbers`, 転送許可番号 |
//! | yes | | yes | `accept_by_key`, 応答確認 |
//! | yes | | | `report_calls`, 1コール報告; `language`, 言語; `privacy`, 社外秘; `open_on_answer`, 応答時に伝言; `unanswered_min`, 確認待ち分; `unanswered_urgent_min`, 至急の確認待ち分; `mail_host`, メールサーバー |
//! | yes | | | `caller_id_policy`, 発信者番号; `never_monitor`, モニタリング禁止; `supervision_notify`, モニタリング通知; `wrap_up_s`, 後処理秒数; `hours`, 営業時間, 受付時間; `link`, リンク, 連携URL |
//! | | yes | | `company`, 会社名, 勤務先; `department`, 部署; `flags`, 区分, フラグ |
//! | | yes | yes | `number`, `numbers`, `tel`, 電話番号, 電話; several with a digit behind, or in one cell with `;` |
//! | | | yes | `role`, 役職; `email`, メール, メールアドレス; `on_call_order`, 呼出順; `ring_s`, 呼出秒数; `absent_until`, 不在; `deputy`, 代理; `no_transfer`, 取次不可; `do_not_tell`, 番号案内不可; `language`, 言語; `endpoint_order`, 送付の順 |
//!
//! Cells with telephone numbers are read in `numbers.rs`.
//!
//! Invariants: nothing that stands in a cell is lost without a word: a row with more cells than the header, or with text
//! under a column without a name, is an error. A column with an unknown name is reported as ignored; its meaning is never guessed.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use smol_str::SmolStr;

use super::numbers;
use super::table::Record;
use crate::contract::hours::Hours;
use crate::contract::import_batch::{Batch, Column, ImportKind, Row};
use crate::contract::message::Privacy;
use crate::contract::records::{
    AccountFields, CallerIdPolicy, CheckedContact, ContactFields, CustomerFields, EndpointKind, Language,
    NumberUse, ReportCalls,
};
use crate::contract::supervision::Notify;
use crate::ids::RecordId;
use crate::numbers::NumberPlan;
use crate::store::import::PresentColumns;

use Column::{
    AbsentUntil, AcceptByKey, AcceptSound, Account, AnswerPhrase, CallerId, Code, Company, Department,
    Deputy, Dialled, DoNotTell, Email, ExtraNumbers, Flags, Forwarding, HoursOpen, Kana, Link, Name,
    NeverMonitor, NoTransfer, Notes, Numbers, OnCallOrder, OpenOnAnswer, RingSeconds, Role,
    SupervisionNotify, Unanswered, UnansweredUrgent, WrapUp,
};

type Names = &'static [(Column, &'static [&'static str])];

const ACCOUNTS: Names = &[
    (Code, &["code", "コード", "契約先コード", "契約企業コード", "会員コード", "会社コード"]),
    (Name, &["name", "名称", "会社名", "契約先名", "契約企業名", "会員名"]),
    (Kana, KANA),
    (AnswerPhrase, &["answer_phrase", "応答文", "応答フレーズ", "名乗り"]),
    (Notes, NOTES),
    (Dialled, &["dialled", "着信番号"]),
    (Forwarding, &["forwarding", "転送元番号"]),
    (CallerId, &["caller_id_policy", "発信者番号"]),
    (AcceptByKey, ACCEPT_BY_KEY),
    (AcceptSound, &["accept_sound", "応答確認音声"]),
    (ExtraNumbers, &["extra_numbers", "転送許可番号"]),
    (NeverMonitor, &["never_monitor", "モニタリング禁止"]),
    (SupervisionNotify, &["supervision_notify", "モニタリング通知"]),
    (WrapUp, &["wrap_up_s", "後処理秒数"]),
    (HoursOpen, &["hours", "営業時間", "受付時間"]),
    (Link, &["link", "リンク", "連携url"]),
    (Column::ReportCalls, &["report_calls", "1コール報告"]),
    (Column::Language, &["language", "言語"]),
    (Column::Privacy, &["privacy", "社外秘"]),
    (OpenOnAnswer, &["open_on_answer", "応答時に伝言"]),
    (Unanswered, &["unanswered_min", "確認待ち分"]),
    (UnansweredUrgent, &["unanswered_urgent_min", "至急の確認待ち分"]),
    (Column::MailHost, &["mail_host", "メールサーバー"]),
];
const CUSTOMERS: Names = &[
    (Account, ACCOUNT),
    (Code, &["code", "コード", "顧客コード", "お客様コード"]),
    (Name, &["name", "名称", "氏名", "名前", "お名前", "顧客名"]),
    (Kana, KANA),
    (Company, &["company", "会社名", "勤務先"]),
    (Department, &["department", "部署", "部署名"]),
    (Notes, NOTES),
    (Flags, &["flags", "区分", "フラグ"]),
    (Numbers, &["numbers", "number", "tel", "電話番号", "電話"]),
];
const CONTACTS: Names = &[
    (Account, ACCOUNT),
    (Code, &["code", "コード", "担当者コード"]),
    (Name, &["name", "氏名", "名前", "担当者", "担当者名"]),
    (Kana, KANA),
    (Role, &["role", "役職"]),
    (Numbers, NUMBERS),
    (Email, &["email", "メール", "メールアドレス"]),
    (OnCallOrder, &["on_call_order", "呼出順"]),
    (AcceptByKey, ACCEPT_BY_KEY),
    (RingSeconds, &["ring_s", "呼出秒数"]),
    (AbsentUntil, &["absent_until", "不在"]),
    (Deputy, &["deputy", "代理"]),
    (NoTransfer, &["no_transfer", "取次不可"]),
    (DoNotTell, &["do_not_tell", "番号案内不可"]),
    (Column::Language, &["language", "言語"]),
    (Column::EndpointOrder, &["endpoint_order", "送付の順"]),
];
const ACCOUNT: &[&str] = &["account", "契約先コード", "契約企業コード", "会員コード", "会社コード"];
const KANA: &[&str] = &["kana", "カナ", "かな", "ふりがな", "フリガナ", "読み"];
const NOTES: &[&str] = &["notes", "備考", "メモ", "注意事項", "連絡事項"];
const ACCEPT_BY_KEY: &[&str] = &["accept_by_key", "応答確認"];
const NUMBERS: &[&str] = &["number", "numbers", "tel", "電話番号", "電話"];

/// The columns of a kind, each by our name: the field of the record in JSON. Exports have them all.
pub fn columns_of(kind: ImportKind) -> impl Iterator<Item = &'static str> {
    names_of(kind).iter().map(|(_, names)| names[0])
}

fn names_of(kind: ImportKind) -> Names {
    match kind {
        ImportKind::Accounts => ACCOUNTS,
        ImportKind::Customers => CUSTOMERS,
        ImportKind::Contacts => CONTACTS,
    }
}

/// The meaning of each cell of a record, by position.
#[derive(Debug)]
pub(super) struct Layout {
    columns: Vec<(usize, Column)>,
    /// The columns whose header is empty.
    unnamed: Vec<usize>,
    /// The number of columns of the header.
    width: usize,
}

impl Layout {
    /// The layout of a header, and the unknown names.
    pub(super) fn of(kind: ImportKind, header: &[String]) -> Result<(Self, Vec<String>), String> {
        let names = names_of(kind);
        let mut columns: Vec<(usize, Column)> = Vec::new();
        let mut ignored = Vec::new();
        for (at, name) in header.iter().enumerate() {
            let Some(column) = meaning(names, name) else {
                ignored.extend(Some(name.trim().to_owned()).filter(|name| !name.is_empty()));
                continue;
            };
            if column != Numbers && columns.iter().any(|(_, known)| *known == column) {
                return Err(format!("the column {:?} appears twice", name.trim()));
            }
            columns.push((at, column));
        }
        let required: &[Column] = match kind {
            ImportKind::Accounts => &[Code, Name],
            ImportKind::Customers | ImportKind::Contacts => &[Account, Code, Name],
        };
        for wanted in required {
            if !columns.iter().any(|(_, column)| column == wanted) {
                let known =
                    names.iter().find(|(column, _)| column == wanted).map_or(&[][..], |(_, names)| names);
                return Err(format!(
                    "the file has no column {}; its columns are: {}",
                    known.join(" or "),
                    header.iter().map(|name| name.trim()).collect::<Vec<_>>().join(", ")
                ));
            }
        }
        let is_unnamed = |at: &usize| header[*at].trim().is_empty();
        let unnamed = (0..header.len()).filter(is_unnamed).collect();
        Ok((Self { columns, unnamed, width: header.len() }, ignored))
    }

    /// # Errors
    /// A cell of the record stands under no name, so that nobody can tell what it is: most often another cell has a comma
    /// and no quotes.
    fn check(&self, record: &Record) -> Result<(), String> {
        const ADVICE: &str = "write a cell that has a comma in it in quotes (\")";
        if (self.width..record.width()).any(|at| !record.is_blank_at(at)) {
            let (has, named) = (record.width(), self.width);
            return Err(format!("it has {has} cells, and the header names {named}; {ADVICE}"));
        }
        match self.unnamed.iter().find(|at| !record.is_blank_at(**at)) {
            Some(at) => {
                Err(format!("column {} holds something and has no name in the header; {ADVICE}", at + 1))
            }
            None => Ok(()),
        }
    }

    /// The columns in the file.
    pub(super) fn present(&self) -> PresentColumns {
        PresentColumns(self.columns.iter().map(|(_, column)| *column).collect())
    }
}

fn meaning(names: Names, name: &str) -> Option<Column> {
    let plain = |text: &str| {
        let spaceless = text.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}');
        spaceless.flat_map(char::to_lowercase).collect::<String>()
    };
    let name = plain(name);
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || ('０'..='９').contains(&c));
    names.iter().find_map(|(column, known)| {
        let wanted = if *column == Numbers { bare } else { name.as_str() };
        known.contains(&wanted).then_some(*column)
    })
}

/// Converts records to checked fields.
pub(super) struct RowReader {
    layout: Layout,
    plan: NumberPlan,
    /// Of the times in cells.
    zone: TimeZone,
    /// The mail servers that accounts may have.
    mail_hosts: Vec<SmolStr>,
    accounts: HashMap<SmolStr, RecordId>,
    /// The line of each code, so that a file has each record once.
    seen: HashMap<(Option<RecordId>, SmolStr), u64>,
}

impl RowReader {
    pub(super) fn new(
        layout: Layout,
        (plan, zone): (NumberPlan, TimeZone),
        mail_hosts: Vec<SmolStr>,
        accounts: HashMap<SmolStr, RecordId>,
    ) -> Self {
        Self { layout, plan, zone, mail_hosts, accounts, seen: HashMap::new() }
    }

    /// Adds the record to the batch, or returns what is wrong with it.
    pub(super) fn read(&mut self, record: &Record, batch: &mut Batch) -> Result<(), String> {
        let line = record.line();
        self.layout.check(record)?;
        let problem = |error: crate::contract::records::RecordError| error.to_string();
        match batch {
            Batch::Accounts(rows) => {
                let value = self.account(record)?.checked(&self.plan).map_err(problem)?;
                value.fields.check_mail_host(&self.mail_hosts).map_err(problem)?;
                self.check_unique(None, &value.fields.code, line)?;
                rows.push(Row { line, value });
            }
            Batch::Customers(rows) => {
                let value = self.customer(record)?.checked(&self.plan).map_err(problem)?;
                let code = value.fields.code.as_deref().ok_or("code: must not be empty")?;
                self.check_unique(Some(value.fields.account), code, line)?;
                rows.push(Row { line, value });
            }
            Batch::Contacts(rows) => {
                let (fields, deputy) = self.contact(record)?;
                let value =
                    CheckedContact { deputy_code: deputy, ..fields.checked(&self.plan).map_err(problem)? };
                let code = value.fields.code.as_deref().ok_or("code: must not be empty")?;
                self.check_unique(Some(value.fields.account), code, line)?;
                rows.push(Row { line, value });
            }
        }
        Ok(())
    }

    fn check_unique(&mut self, account: Option<RecordId>, code: &str, line: u64) -> Result<(), String> {
        match self.seen.insert((account, SmolStr::new(code)), line) {
            None => Ok(()),
            Some(first) => Err(format!("code: {code:?} is on line {first} already")),
        }
    }

    fn account(&self, record: &Record) -> Result<AccountFields, String> {
        let mut fields = AccountFields::default();
        for (column, text) in self.cells(record) {
            let text = text?;
            match column {
                Code => fields.code = numbers::unmarked(&text),
                Name => fields.name = text,
                Kana => fields.kana = text,
                AnswerPhrase => fields.answer_phrase = text,
                Notes => fields.notes = text,
                Dialled => fields.dialled = self.numbers("dialled", &text, NumberUse::Routed)?,
                Forwarding => fields.forwarding = self.numbers("forwarding", &text, NumberUse::Routed)?,
                CallerId => fields.caller_id_policy = policy(&text)?,
                AcceptByKey => fields.accept_by_key = yes_or_no("accept_by_key", &text)?.unwrap_or(true),
                AcceptSound => fields.accept_sound = Some(text),
                ExtraNumbers => fields.extra_numbers = numbers::prefixes(&text),
                NeverMonitor => fields.never_monitor = yes_or_no("never_monitor", &text)?.unwrap_or(false),
                SupervisionNotify => fields.supervision_notify = notify(&text)?,
                WrapUp => fields.wrap_up_s = whole_number("wrap_up_s", &text)?,
                HoursOpen => fields.hours = Hours::read(&text).map_err(|error| format!("hours: {error}"))?,
                Link => fields.link = Some(text),
                Column::ReportCalls => fields.report_calls = report_calls(&text)?,
                Column::Language => fields.language = language(&text)?,
                Column::Privacy => fields.privacy = privacy(&text)?,
                OpenOnAnswer => fields.open_on_answer = yes_or_no("open_on_answer", &text)?.unwrap_or(false),
                Unanswered => {
                    let minutes = whole_number("unanswered_min", &text)?;
                    fields.unanswered_min = minutes.unwrap_or(fields.unanswered_min);
                }
                UnansweredUrgent => {
                    let minutes = whole_number("unanswered_urgent_min", &text)?;
                    fields.unanswered_urgent_min = minutes.unwrap_or(fields.unanswered_urgent_min);
                }
                Column::MailHost => fields.mail_host = Some(text),
                _ => {}
            }
        }
        Ok(fields)
    }

    fn customer(&self, record: &Record) -> Result<CustomerFields, String> {
        let mut fields = CustomerFields::named(RecordId(uuid::Uuid::nil()), "");
        for (column, text) in self.cells(record) {
            let text = text?;
            match column {
                Account => fields.account = self.account_of(&text)?,
                Code => fields.code = Some(numbers::unmarked(&text)),
                Name => fields.name = text,
                Kana => fields.kana = text,
                Company => fields.company = Some(text),
                Department => fields.department = Some(text),
                Notes => fields.notes = Some(text),
                Flags => fields.flags = list(&text),
                Numbers => fields.numbers.extend(self.numbers("numbers", &text, NumberUse::Subscriber)?),
                _ => {}
            }
        }
        Ok(fields)
    }

    /// A contact, and the code of its deputy.
    fn contact(&self, record: &Record) -> Result<(ContactFields, Option<String>), String> {
        let mut fields = ContactFields::named(RecordId(uuid::Uuid::nil()), "");
        let mut all_numbers = Vec::new();
        let mut deputy = None;
        for (column, text) in self.cells(record) {
            let text = text?;
            match column {
                Account => fields.account = self.account_of(&text)?,
                Code => fields.code = Some(numbers::unmarked(&text)),
                Name => fields.name = text,
                Kana => fields.kana = text,
                Role => fields.role = text,
                Numbers => all_numbers.extend(self.numbers("number", &text, NumberUse::Subscriber)?),
                Email => fields.email = Some(text.trim().to_owned()),
                OnCallOrder => fields.on_call_order = whole_number("on_call_order", &text)?,
                AcceptByKey => fields.accept_by_key = yes_or_no("accept_by_key", &text)?.unwrap_or(true),
                RingSeconds => fields.ring_s = whole_number("ring_s", &text)?,
                AbsentUntil => fields.absent_until = absent_until(&text, &self.zone)?,
                Deputy => deputy = Some(numbers::unmarked(&text)).filter(|code| !code.is_empty()),
                NoTransfer => fields.no_transfer = yes_or_no("no_transfer", &text)?.unwrap_or(false),
                DoNotTell => fields.do_not_tell = yes_or_no("do_not_tell", &text)?.unwrap_or(false),
                Column::Language if text.trim().is_empty() => fields.language = None,
                Column::Language => fields.language = Some(language(&text)?),
                Column::EndpointOrder => fields.endpoint_order = endpoint_order(&text)?,
                _ => {}
            }
        }
        let mut all_numbers = all_numbers.into_iter();
        fields.number = all_numbers.next();
        if let (Some(first), Some(second)) = (&fields.number, all_numbers.next()) {
            return Err(format!(
                "number: a contact has one number, and here are {first:?} and {second:?}; make a contact of each"
            ));
        }
        Ok((fields, deputy))
    }

    fn numbers(&self, field: &str, text: &str, of: NumberUse) -> Result<Vec<String>, String> {
        numbers::read(text, of, &self.plan).map_err(|problem| format!("{field}: {problem}"))
    }

    fn cells<'a>(
        &'a self,
        record: &'a Record,
    ) -> impl Iterator<Item = (Column, Result<String, String>)> + 'a {
        let columns = self.layout.columns.iter();
        columns.map(|(at, column)| (*column, record.cell(*at).map(|text| text.unwrap_or_default())))
    }

    fn account_of(&self, code: &str) -> Result<RecordId, String> {
        let code = numbers::unmarked(code);
        let code = code.trim();
        let known = self.accounts.get(code).copied();
        known.ok_or_else(|| {
            format!("account: there is no account with the code {code:?}; import accounts first")
        })
    }
}

/// The values in a cell that may have several.
fn list(text: &str) -> Vec<String> {
    let parts = text.split(numbers::SEPARATORS).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn whole_number<T: std::str::FromStr>(field: &str, text: &str) -> Result<Option<T>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("{field}: {text:?} is not a whole number")),
    }
}

fn yes_or_no(field: &str, text: &str) -> Result<Option<bool>, String> {
    match text.trim().to_lowercase().as_str() {
        "" => Ok(None),
        "1" | "yes" | "true" | "はい" | "有" | "○" | "〇" | "要" | "する" => Ok(Some(true)),
        "0" | "no" | "false" | "いいえ" | "無" | "×" | "不要" | "しない" => Ok(Some(false)),
        text => Err(format!("{field}: {text:?} is neither yes nor no")),
    }
}

fn policy(text: &str) -> Result<CallerIdPolicy, String> {
    match text.trim() {
        "" | "caller" | "お客様" | "発信者" => Ok(CallerIdPolicy::Caller),
        "account" | "契約先" | "契約企業" | "会員" => Ok(CallerIdPolicy::Account),
        "service" | "代行" | "当社" => Ok(CallerIdPolicy::Service),
        text => Err(format!("caller_id_policy: {text:?} is not one of caller, account, service")),
    }
}

fn notify(text: &str) -> Result<Option<Notify>, String> {
    match text.trim() {
        "" => Ok(None),
        "tone" | "音" | "通知音" => Ok(Some(Notify::Tone)),
        "desktop" | "画面" => Ok(Some(Notify::Desktop)),
        "silent" | "なし" | "無" => Ok(Some(Notify::Silent)),
        text => Err(format!("supervision_notify: {text:?} is not one of tone, desktop, silent")),
    }
}

fn report_calls(text: &str) -> Result<ReportCalls, String> {
    match text.trim() {
        "" | "off" | "なし" | "無" => Ok(ReportCalls::Off),
        "no_message" | "伝言なし" => Ok(ReportCalls::NoMessage),
        "all" | "全件" | "すべて" => Ok(ReportCalls::All),
        text => Err(format!("report_calls: {text:?} is not one of off, no_message, all")),
    }
}

/// The kinds of endpoints that a contact prefers, with `;` or `,` between them.
fn endpoint_order(text: &str) -> Result<Vec<EndpointKind>, String> {
    let words = text.split([';', ',', '、']).map(str::trim).filter(|word| !word.is_empty());
    let kind = |word: &str| {
        EndpointKind::parse(&word.to_lowercase()).ok_or_else(|| {
            let known = EndpointKind::ALL.map(EndpointKind::as_str).join(", ");
            format!("endpoint_order: {word:?} is not one of {known}")
        })
    };
    words.map(kind).collect()
}

fn language(text: &str) -> Result<Language, String> {
    match text.trim().to_lowercase().as_str() {
        "" | "ja" | "日本語" => Ok(Language::Ja),
        "en" | "英語" => Ok(Language::En),
        text => Err(format!("language: {text:?} is not one of ja, en")),
    }
}

fn privacy(text: &str) -> Result<Privacy, String> {
    match text.trim() {
        "notice" => Ok(Privacy::Notice),
        "full" => Ok(Privacy::Full),
        text => match yes_or_no("privacy", text) {
            Ok(Some(true)) => Ok(Privacy::Notice),
            Ok(_) => Ok(Privacy::Full),
            Err(_) => Err(format!("privacy: {text:?} is not one of full, notice")),
        },
    }
}

/// Until when a contact is absent: a day, to its end, or a time.
fn absent_until(text: &str, zone: &TimeZone) -> Result<Option<Timestamp>, String> {
    let text = text.trim().replace('/', "-");
    if text.is_empty() {
        return Ok(None);
    }
    let day_end = |day: Date| day.tomorrow().ok().map(|day| day.to_datetime(jiff::civil::Time::midnight()));
    let local = match text.parse::<Date>() {
        Ok(day) if text.len() <= 10 => day_end(day),
        _ => text.parse::<DateTime>().ok(),
    };
    let at = text.parse::<Timestamp>().ok().or_else(|| zone.to_timestamp(local?).ok());
    at.map(Some).ok_or_else(|| {
        format!("absent_until: {text:?} is neither a day (2026-12-10) nor a time (2026-12-10 18:00)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words in that part of the installation page that describes the columns of one kind.
    fn described(page: &str, kind: &str) -> Vec<String> {
        let (heading, rest) = page.split_once(kind).unwrap();
        assert!(heading.ends_with('\n'), "{kind} is a heading");
        let end = rest.find("\n#").unwrap();
        let words = rest[..end].split([',', '、', '|', '`', ' ', '\n']);
        words.map(str::to_lowercase).collect()
    }

    #[test]
    fn the_templates_and_the_pages_have_every_column() {
        let english = include_str!("../../../docs/install.md");
        let japanese = include_str!("../../../docs/install.ja.md");
        for (kind, names, template, headings) in [
            (
                ImportKind::Accounts,
                ACCOUNTS,
                include_str!("../../../docs/templates/accounts.csv"),
                ["### Accounts", "### 契約先"],
            ),
            (
                ImportKind::Customers,
                CUSTOMERS,
                include_str!("../../../docs/templates/customers.csv"),
                ["### Customers", "### お客様"],
            ),
            (
                ImportKind::Contacts,
                CONTACTS,
                include_str!("../../../docs/templates/contacts.csv"),
                ["### Contacts", "### 担当者"],
            ),
        ] {
            let header = template.trim_start_matches('\u{feff}').lines().next().unwrap();
            let header: Vec<String> = header.split(',').map(str::to_owned).collect();
            let (layout, unknown) = Layout::of(kind, &header).unwrap();
            assert_eq!(unknown, [""; 0], "{kind:?}");
            for (column, words) in names {
                let has = layout.columns.iter().any(|(_, known)| known == column);
                assert!(has, "the template of {kind:?} lacks {column:?}");
                for (page, heading) in [english, japanese].into_iter().zip(headings) {
                    let described = described(page, heading);
                    for word in *words {
                        let has = described.iter().any(|known| known == word);
                        assert!(has, "{heading} does not describe {word}");
                    }
                }
            }
        }
    }
}
