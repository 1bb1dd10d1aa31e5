use std::io::Cursor;

use crate::contract::records::Language;
use crate::directory::DirectoryOptions;
use crate::directory::explain::ExplainRequest;
use crate::directory::import::*;
use crate::store::CustomerFilter;

const ACCOUNTS: &[u8] = include_bytes!("../../../tests/samples/accounts.csv");
const CUSTOMERS: &[u8] = include_bytes!("../../../tests/samples/customers.csv");
const CUSTOMERS_SHIFT_JIS: &[u8] = include_bytes!("../../../tests/samples/customers-shift_jis.csv");
const CONTACTS: &[u8] = include_bytes!("../../../tests/samples/contacts.csv");

struct Fixture {
    _database: Box<dyn std::any::Any>,
    directory: Directory,
}

impl Fixture {
    async fn empty() -> Self {
        let (database, store) = super::empty_store().await;
        let directory = Directory::load(store, DirectoryOptions::default()).await.unwrap();
        Self { _database: Box::new(database), directory }
    }

    async fn import(&self, kind: ImportKind, file: &[u8]) -> Result<ImportReport, ImportError> {
        self.import_as(kind, file, TextEncoding::Utf8, false).await
    }

    async fn import_as(
        &self,
        kind: ImportKind,
        file: &[u8],
        encoding: TextEncoding,
        dry_run: bool,
    ) -> Result<ImportReport, ImportError> {
        let options = ImportOptions { kind, encoding, dry_run };
        self.directory.import(Cursor::new(file.to_vec()), options, Timestamp::UNIX_EPOCH).await
    }

    async fn with_accounts() -> Self {
        let fixture = Self::empty().await;
        fixture.import(ImportKind::Accounts, ACCOUNTS).await.unwrap();
        fixture
    }

    async fn names(&self) -> Vec<String> {
        let page = self.directory.store().customers(&CustomerFilter::default(), None, 500).await.unwrap();
        page.items.into_iter().map(|customer| customer.fields.name).collect()
    }
}

/// Rows, new records, and those that were there, changed or not.
fn counts(report: &ImportReport) -> (u64, u64, u64) {
    (report.rows, report.created, report.updated + report.unchanged)
}

/// `line: problem` of each bad row.
fn problems(error: ImportError) -> Vec<String> {
    match error {
        ImportError::Rows { errors, .. } => {
            errors.into_iter().map(|error| format!("{}: {}", error.line, error.problem)).collect()
        }
        other => vec![other.to_string()],
    }
}

#[tokio::test]
async fn the_sample_world_pops() {
    let fixture = Fixture::with_accounts().await;
    let customers = fixture.import(ImportKind::Customers, CUSTOMERS).await.unwrap();
    assert_eq!((counts(&customers), customers.ignored_columns.len()), ((9, 9, 0), 0));
    assert_eq!(counts(&fixture.import(ImportKind::Contacts, CONTACTS).await.unwrap()), (7, 7, 0));
    let request = ExplainRequest {
        dialled: Some("0355501000".into()),
        from: Some("09012345678".into()),
        diverted_by: Some("0335550101".into()),
        trunk: None,
        at: "2026-01-05T10:00:00+09:00".parse().unwrap(),
        ..ExplainRequest::default()
    };
    let explained = fixture.directory.explain(&request).await.unwrap();
    assert_eq!(explained.card.account.name, "株式会社さくら商事");
    assert_eq!(explained.card.account.answer_phrase, "お電話ありがとうございます。さくら商事でございます。");
    assert_eq!(explained.card.customers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["田中太郎"]);
    assert_eq!(explained.card.customers[0].flags, ["vip"]);
    let contacts: Vec<_> = explained.contacts.iter().map(|c| c.fields.name.as_str()).collect();
    assert_eq!(contacts, ["佐々木健", "井上美咲", "桜井誠"]);
    assert!(explained.hours.unwrap().open);
}

#[tokio::test]
async fn the_same_file_again_changes_no_number_of_records() {
    let fixture = Fixture::with_accounts().await;
    assert_eq!(counts(&fixture.import(ImportKind::Accounts, ACCOUNTS).await.unwrap()), (3, 0, 3));
    fixture.import(ImportKind::Customers, CUSTOMERS).await.unwrap();
    let before = fixture.names().await;
    let again =
        fixture.import_as(ImportKind::Customers, CUSTOMERS_SHIFT_JIS, TextEncoding::ShiftJis, false).await;
    assert_eq!(counts(&again.unwrap()), (9, 0, 9));
    assert_eq!(fixture.names().await, before);
    fixture.import(ImportKind::Contacts, CONTACTS).await.unwrap();
    assert_eq!(counts(&fixture.import(ImportKind::Contacts, CONTACTS).await.unwrap()), (7, 0, 7));
}

#[tokio::test]
async fn a_column_that_is_not_there_changes_nothing() {
    let fixture = Fixture::with_accounts().await;
    fixture.import(ImportKind::Customers, CUSTOMERS).await.unwrap();
    fixture.import(ImportKind::Contacts, CONTACTS).await.unwrap();
    fixture.import(ImportKind::Accounts, "code,name\nA001,さくら\n".as_bytes()).await.unwrap();
    fixture
        .import(ImportKind::Customers, "account,code,name,部署,謎\nA001,C0001,田中,総務,x\n".as_bytes())
        .await
        .unwrap();
    let preferred = "account,code,name,言語,送付の順\nA001,P1,佐々木,英語,chatwork; mail\n";
    fixture.import(ImportKind::Contacts, preferred.as_bytes()).await.unwrap();
    fixture.import(ImportKind::Contacts, "account,code,name\nA001,P1,佐々木\n".as_bytes()).await.unwrap();
    let contacts = fixture.directory.store().contacts(None, None, 500).await.unwrap().items;
    let fields = &contacts.iter().find(|one| one.fields.name == "佐々木").unwrap().fields;
    assert_eq!((fields.language, fields.endpoint_order.len()), (Some(Language::En), 2));
    let account = &fixture.directory.store().accounts(None, 1).await.unwrap().items[0];
    assert_eq!((account.fields.name.as_str(), account.fields.dialled.len()), ("さくら", 1));
    assert!(account.fields.hours.is_some());
    let filter = CustomerFilter { account: Some(account.id), ..CustomerFilter::default() };
    let tanaka = &fixture.directory.store().customers(&filter, None, 1).await.unwrap().items[0].fields;
    assert_eq!((tanaka.name.as_str(), tanaka.department.as_deref()), ("田中", Some("総務")));
    assert_eq!((tanaka.numbers.len(), tanaka.company.as_deref()), (2, Some("田中電機株式会社")));
    let contact = &fixture.directory.store().contacts_in_order(account.id).await.unwrap()[0].fields;
    assert_eq!((contact.name.as_str(), contact.number.as_deref()), ("佐々木", Some("09055500011")));
}

#[tokio::test]
async fn every_bad_row_is_named_and_nothing_is_changed() {
    let fixture = Fixture::with_accounts().await;
    let file = "account,code,name,number\n\
        A001,C1,良い,0312345678\n\
        A009,C2,x,\n\
        A001,C3,,\n\
        \n\
        A001,C4,\"二\n行\",\n\
        A001,C1,again,\n\
        A001,,no code,\n\
        A001,C5,x,内線5\n";
    let failed = fixture.import(ImportKind::Customers, file.as_bytes()).await.unwrap_err();
    assert_eq!(failed.to_string(), "5 of the rows can't be imported; nothing was changed");
    assert_eq!(
        problems(failed),
        [
            "3: account: there is no account with the code \"A009\"; import accounts first",
            "4: name: must not be empty",
            "8: code: \"C1\" is on line 2 already",
            "9: code: must not be empty",
            "10: numbers: \"内線5\" is not a telephone number",
        ]
    );
    assert!(fixture.names().await.is_empty());

    // An error that only the store finds is named by its line, too.
    let file = "code,name,forwarding\nA008,あ,0399990000\nA009,い,03-3555-0101\nA010,う,0399990000\n";
    let failed = fixture.import(ImportKind::Accounts, file.as_bytes()).await.unwrap_err();
    assert_eq!(
        problems(failed),
        [
            "3: the forwarding number is taken already: 03-3555-0101",
            "4: the forwarding number is taken already: 0399990000",
        ]
    );
    assert_eq!(fixture.directory.accounts_in_memory(), 3);
}

#[tokio::test]
async fn more_bad_rows_than_can_be_named_are_counted() {
    let fixture = Fixture::with_accounts().await;
    let file = format!("account,code,name\n{}", "A009,x,y\n".repeat(250));
    let Err(ImportError::Rows { errors, more }) =
        fixture.import(ImportKind::Customers, file.as_bytes()).await
    else {
        panic!("imported")
    };
    assert_eq!((errors.len(), more), (ROW_ERRORS_MAX, 150));
}

#[tokio::test]
async fn a_dry_run_reports_and_changes_nothing() {
    let fixture = Fixture::with_accounts().await;
    let report = fixture.import_as(ImportKind::Customers, CUSTOMERS, TextEncoding::Utf8, true).await.unwrap();
    assert_eq!((counts(&report), report.dry_run), ((9, 9, 0), true));
    assert!(fixture.names().await.is_empty());
}

#[tokio::test]
async fn numbers_may_move_between_accounts_of_one_file() {
    let fixture = Fixture::with_accounts().await;
    let file = "code,name,forwarding\nA001,さくら,0335550102\nA002,みなと,0335550101\n";
    fixture.import(ImportKind::Accounts, file.as_bytes()).await.unwrap();
    let accounts = fixture.directory.store().accounts(None, 2).await.unwrap().items;
    assert_eq!(accounts[0].fields.forwarding, ["0335550102"]);
}

#[tokio::test]
async fn what_is_no_table_of_this_kind_is_refused_with_advice() {
    use TextEncoding::{ShiftJis, Utf8};
    let fixture = Fixture::with_accounts().await;
    let utf16: Vec<u8> = "code".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (file, encoding, advice) in [
        (CUSTOMERS_SHIFT_JIS, Utf8, "line 1: the text is not UTF-8; it is valid with --encoding shift_jis"),
        (CUSTOMERS, ShiftJis, "the file says that it is UTF-8"),
        (&CUSTOMERS[3..], ShiftJis, "it is valid with --encoding utf-8"),
        (b"", Utf8, "the file is empty"),
        (&[&[0xff, 0xfe], utf16.as_slice()].concat(), Utf8, "UTF-16"),
        (CONTACTS, Utf8, "no column code or"),
        (b"account,code,name,code\n", Utf8, "\"code\" appears twice"),
        (
            b"account,code,name\nA001,1,\"x\n",
            Utf8,
            "line 2: the quote (\") that is opened here is never closed",
        ),
        (b"\n\naccount,code\n", Utf8, "line 3: the file has no column name"),
    ] {
        let problem =
            fixture.import_as(ImportKind::Customers, file, encoding, false).await.unwrap_err().to_string();
        assert!(problem.contains(advice), "{problem}");
    }
    let endless = format!("account,code,name\nA001,1,\"{}", "x\n".repeat(1 << 20));
    let problem = fixture.import(ImportKind::Customers, endless.as_bytes()).await.unwrap_err().to_string();
    assert!(problem.contains("line 2") && problem.contains("quote"), "{problem}");
    let hostile = "account,code,name,notes\nA001,X,\"\u{202e}\u{1b}[31m田中\",\"=cmd()\u{0}\"\n";
    fixture.import(ImportKind::Customers, hostile.as_bytes()).await.unwrap();
    assert!(fixture.names().await.contains(&"[31m田中".to_owned()));
}

#[tokio::test]
async fn how_callers_are_passed_on_is_imported_too() {
    let fixture = Fixture::empty().await;
    let accounts = "code,name,応答確認,応答確認音声,転送許可番号\nA1,さくら,いいえ,custom/sakura,0570;+886\n";
    fixture.import(ImportKind::Accounts, accounts.as_bytes()).await.unwrap();
    let contacts = "契約企業コード,code,name,電話番号,呼出順,呼出秒数\nA1,P1,佐々木,09055500011,1,40\n";
    fixture.import(ImportKind::Contacts, contacts.as_bytes()).await.unwrap();
    // A later file without these columns leaves them.
    fixture.import(ImportKind::Accounts, "code,name\nA1,さくら商事\n".as_bytes()).await.unwrap();
    fixture.import(ImportKind::Contacts, "account,code,name\nA1,P1,佐々木健\n".as_bytes()).await.unwrap();
    let account = fixture.directory.store().accounts(None, 9).await.unwrap().items.remove(0);
    let fields = &account.fields;
    assert_eq!((fields.name.as_str(), fields.accept_by_key), ("さくら商事", false));
    assert_eq!(fields.accept_sound.as_deref(), Some("custom/sakura"));
    assert_eq!(fields.extra_numbers, ["0570", "010886"]);
    let contacts = fixture.directory.store().contacts_in_order(account.id).await.unwrap();
    assert_eq!((contacts[0].fields.name.as_str(), contacts[0].fields.ring_s), ("佐々木健", Some(40)));

    let wrong = "code,name,転送許可番号\nA1,さくら,0\n";
    let error = fixture.import(ImportKind::Accounts, wrong.as_bytes()).await.unwrap_err();
    assert_eq!(problems(error), ["2: extra_numbers: \"0\" is not a number prefix: 3 to 15 digits"]);
}

#[tokio::test]
async fn every_kind_of_line_end_has_the_line_numbers_of_an_editor() {
    let fixture = Fixture::with_accounts().await;
    let lines = [
        "account,code,name,number,notes",
        "A001,C1,見本一,090-0000-0001,",
        "A001,C2,見本二,x,",
        "",
        "A001,C3,見本三,090-0000-0003,\"一行目",
        "二行目,\"\"引用\"\"\"",
        "A001,C4,見本四,y,",
        "A001,C5,見本五,z,",
    ];
    let bad = |line: u64, text: &str| format!("{line}: numbers: {text:?} is not a telephone number");
    for end in ["\n", "\r\n", "\r"] {
        for last in ["", end] {
            let file = lines.join(end) + last;
            let (encoded, _, _) = encoding_rs::SHIFT_JIS.encode(&file);
            for (file, encoding) in
                [(file.as_bytes(), TextEncoding::Utf8), (&encoded[..], TextEncoding::ShiftJis)]
            {
                let failed =
                    fixture.import_as(ImportKind::Customers, file, encoding, false).await.unwrap_err();
                assert_eq!(problems(failed), [bad(3, "x"), bad(7, "y"), bad(8, "z")], "{end:?}");
            }
        }
    }
    let good = lines.join("\r\n").replace(",x,", ",,").replace(",y,", ",,").replace(",z,", ",,");
    assert_eq!(fixture.import(ImportKind::Customers, good.as_bytes()).await.unwrap().rows, 5);
    let customers = fixture.directory.store().customers(&CustomerFilter::default(), None, 9).await.unwrap();
    assert_eq!(customers.items[2].fields.notes.as_deref(), Some("一行目\n二行目,\"引用\""));
}

#[tokio::test]
async fn a_row_that_readers_would_split_differently_is_refused() {
    let fixture = Fixture::with_accounts().await;
    let header = "account,code,name,notes,\r\n";
    for (rows, expected) in [
        (
            "A001,C1,見本,メモ,\r\nA001,C2,\"見本,x\r\nA001,C3,見本,\r\n",
            "line 3: the quote (\") that is opened here",
        ),
        ("A001,C1,\"見\"本,x\r\n", "line 2: the cell in quotes (\") that begins here goes on"),
        // The quote of line 2 is closed by the one that opens a cell on line 3.
        ("A001,C1,\"見本,x\r\nA001,C2,\"見本\",x\r\n", "line 2: the cell in quotes (\")"),
        ("A001,C1, \"見本, 太郎\",x\r\n", "line 2: a space stands before a quote"),
        ("A001,C1,見本,来客時,要連絡\r\n", "2: column 5 holds something and has no name"),
        ("A001,C1,見本,来客時,,要連絡\r\n", "2: it has 6 cells, and the header names 5"),
        ("A001,C1,#NAME?,x\r\n", "2: column 3: \"#NAME?\" is what a spreadsheet writes"),
        ("A001,C1,=\"見本,x\r\n", "2: column 3: \"=\\\"見本\" is a formula"),
    ] {
        let file = format!("{header}{rows}");
        let failed = fixture.import(ImportKind::Customers, file.as_bytes()).await.unwrap_err();
        let found = problems(failed);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{rows}: {found:?}");
    }
    assert!(fixture.names().await.is_empty());
    let file = format!("{header}A001,=\"001\",\"=\"\"見本\"\"\",6\"ホース,,,\r\nA001,'002,\"x\" ,\r\n");
    fixture.import(ImportKind::Customers, file.as_bytes()).await.unwrap();
    let customers =
        fixture.directory.store().customers(&CustomerFilter::default(), None, 9).await.unwrap().items;
    let fields =
        |n: usize| (&customers[n].fields.code, customers[n].fields.name.as_str(), &customers[n].fields.notes);
    assert_eq!(fields(0), (&Some("001".into()), "見本", &Some("6\"ホース".into())));
    assert_eq!(fields(1), (&Some("002".into()), "x", &None));
}

#[tokio::test]
async fn two_numbers_in_a_cell_are_two_and_no_number_is_lost() {
    let fixture = Fixture::empty().await;
    let accounts = "契約企業コード,契約企業名,着信番号,転送元番号\r\n\
        A011,例一,0355550111,0355550191/0355550192\r\n\
        A012,例二,0355550112・0355550113,\r\n\
        A013,例三,0355550114 0355550115,0355550193\r\n";
    fixture.import(ImportKind::Accounts, accounts.as_bytes()).await.unwrap();
    let accounts = fixture.directory.store().accounts(None, 9).await.unwrap().items;
    assert_eq!(accounts[0].fields.forwarding, ["0355550191", "0355550192"]);
    assert_eq!(accounts[1].fields.dialled, ["0355550112", "0355550113"]);
    assert_eq!(accounts[2].fields.dialled, ["0355550114", "0355550115"]);
    let customers = "契約企業コード,顧客コード,氏名,電話番号\r\n\
        A011,C1,見本一郎,03-5555-0111/090-0000-0011\r\n\
        A011,C5,見本五郎,03-5555-0115-0116\r\n";
    let failed = fixture.import(ImportKind::Customers, customers.as_bytes()).await.unwrap_err();
    let found = problems(failed);
    assert!(
        found.len() == 1 && found[0].starts_with("3: numbers: \"03-5555-0115-0116\" is not a"),
        "{found:?}"
    );
    let contacts = "契約企業コード,code,name,電話番号1,電話番号2\r\n\
        A011,P1,佐々木,,09055500011\r\n\
        A011,P2,井上,0355550191,09055500012\r\n";
    let failed = fixture.import(ImportKind::Contacts, contacts.as_bytes()).await.unwrap_err();
    let expected = "3: number: a contact has one number, and here are \"0355550191\" and \"09055500012\"";
    let found = problems(failed);
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
}

#[tokio::test]
async fn the_cabinet_offices_table_replaces_its_years() {
    let fixture = Fixture::empty().await;
    let file =
        "国民の祝日・休日月日,国民の祝日・休日名称\r\n2026/1/1,元日\r\n2026/5/6,休日\r\n2027/1/1,元日\r\n";
    let (file, ..) = encoding_rs::SHIFT_JIS.encode(file);
    let import = async |file: &[u8], dry_run| {
        fixture.directory.import_holidays(Cursor::new(file.to_vec()), TextEncoding::ShiftJis, dry_run).await
    };
    assert_eq!(import(&file, true).await.unwrap().days, 3);
    assert_eq!(fixture.directory.holidays(2026).len(), 18, "a dry run changes nothing");
    let report = import(&file, false).await.unwrap();
    assert_eq!((report.days, report.first_year, report.last_year), (3, 2026, 2027));
    let days: Vec<_> =
        fixture.directory.holidays(2026).into_iter().map(|h| (h.day.to_string(), h.name)).collect();
    assert_eq!(days, [("2026-01-01".into(), "元日".into()), ("2026-05-06".into(), "休日".into())]);
    assert_eq!(fixture.directory.holidays(2028).len(), 16, "the law: it has no table");

    let wrong = "day,name\n2026/1/1,a\n2026/13/1,b\n2026/1/1,c\n2026/1/2,\n1/2,d\n2026/1/3,e,f\n";
    assert_eq!(
        problems(import(wrong.as_bytes(), false).await.unwrap_err()),
        [
            "3: \"2026/13/1\" is not a day such as 2026/1/1",
            "4: 2026-01-01 is in the file twice",
            "5: the name must have 1 to 60 characters",
            "6: \"1/2\" is not a day such as 2026/1/1",
            "7: a day and its name are expected",
        ]
    );
    assert!(matches!(import(b"day,name\n", false).await, Err(ImportError::Table(TableError::Empty))));
    assert_eq!(fixture.directory.holidays(2026).len(), 2);
}

/// A customers' file of `rows` rows, from the number `first` on.
fn many(first: u32, rows: u32) -> String {
    let row = |n: u32| format!("A001,M{n:05},見本{n},090-{:04}-{:04}\n", n / 10_000, n % 10_000);
    format!("account,code,name,number\n{}", (first..first + rows).map(row).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_writers_have_their_turn_between_the_steps_of_a_large_file() {
    let fixture = Fixture::with_accounts().await;
    let (store, is_done) = (fixture.directory.store(), std::cell::Cell::new(false));
    let importing = async {
        let report = fixture.import(ImportKind::Customers, many(0, 2_500).as_bytes()).await;
        is_done.set(true);
        report.unwrap()
    };
    // A writer that comes between two steps sees some of the rows, and not all.
    let writing = async {
        let mut seen = Vec::new();
        while !is_done.get() {
            store.probe_write().await.unwrap();
            let filter = CustomerFilter { text: Some("見本".into()), ..CustomerFilter::default() };
            seen.push(store.customers(&filter, None, 2_501).await.unwrap().items.len());
        }
        seen
    };
    let (report, seen) = tokio::join!(importing, writing);
    assert_eq!(counts(&report), (2_500, 2_500, 0));
    assert!(seen.iter().any(|rows| (1..2_500).contains(rows)), "{seen:?}");
    let again = fixture.import(ImportKind::Customers, many(2_000, 1_000).as_bytes()).await.unwrap();
    assert_eq!(counts(&again), (1_000, 500, 500));
}

#[tokio::test]
async fn an_invalid_row_at_the_end_of_a_large_file_changes_nothing() {
    let fixture = Fixture::with_accounts().await;
    let file = many(0, 1_500) + "A001,M99999,,\n";
    let failed = fixture.import(ImportKind::Customers, file.as_bytes()).await.unwrap_err();
    assert_eq!(problems(failed), ["1502: name: must not be empty"]);
    assert!(fixture.names().await.is_empty());
}

/// A file that another program writes to while it is imported: each pass reads the next of these texts.
struct Rewritten {
    texts: Vec<String>,
    now: Cursor<Vec<u8>>,
}

impl Read for Rewritten {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.now.read(bytes)
    }
}

impl Seek for Rewritten {
    fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
        self.now = Cursor::new(self.texts.remove(0).into_bytes());
        Ok(0)
    }
}

#[tokio::test]
async fn an_import_that_stops_says_how_much_is_imported_and_the_same_file_does_the_rest() {
    let fixture = Fixture::with_accounts().await;
    let (whole, torn) = (many(0, 1_500), many(0, 1_500) + "A001,M99999,,\n");
    let source = Rewritten { texts: vec![torn], now: Cursor::new(whole.clone().into_bytes()) };
    let options = ImportOptions { kind: ImportKind::Customers, encoding: TextEncoding::Utf8, dry_run: false };
    let failed = fixture.directory.import(source, options, Timestamp::UNIX_EPOCH).await.unwrap_err();
    let ImportError::Stopped { written, source } = failed else { panic!("{failed}") };
    assert_eq!((written, problems(*source)), (1_000, vec!["1502: name: must not be empty".to_owned()]));
    let rest = fixture.import(ImportKind::Customers, whole.as_bytes()).await.unwrap();
    assert_eq!(counts(&rest), (1_500, 500, 1_000));
}
