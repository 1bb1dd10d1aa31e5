//! A report as a PDF: read back with poppler, as a company's viewer does.

use std::io::Write as _;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::layout::arithmetic_in_words;
use super::*;
use crate::billing::{BillingMonth, Reason};
use crate::stats::{Counters, FORMULAS, RULES_VERSION, Verdict};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Offered, answered, abandoned (one of them at once) and closed calls.
fn counters(offered: u64, answered: u64, closed: u64) -> Counters {
    let abandoned = offered - answered - closed;
    Counters {
        offered,
        answered,
        closed,
        abandoned,
        short: abandoned.min(1),
        answered_le_20: answered / 2,
        wait_answered_ms: answered * 8_400,
        parts: answered,
        talk_ms: answered * 95_000,
        transfers_tried: answered / 3,
        transfers_reached: answered / 4,
        voice: closed,
        callbacks: abandoned,
        callbacks_reached: abandoned / 2,
        cared: abandoned.saturating_sub(1) / 2,
        ..Counters::default()
    }
}

fn dispositions(named: &[(&str, u64)]) -> Vec<ReportDisposition> {
    named.iter().map(|(name, works)| ReportDisposition { name: (*name).into(), works: *works }).collect()
}

fn number(number: Option<&str>, offered: u64) -> ReportNumber {
    ReportNumber { number: number.map(str::to_owned), offered, answered: offered / 2, closed: 1, refused: 0 }
}

/// November 2026 of a dental clinic.
fn november() -> MonthlyReport {
    let month: BillingMonth = "2026-11".parse().unwrap();
    let (from, to) = month.time(None, &TimeZone::get("Asia/Tokyo").unwrap());
    let mut total = Counters::default();
    let day = |n: u8| {
        // The first of November 2026 is a Sunday.
        let weekday = (n + 5) % 7;
        let offered = if weekday >= 5 { u64::from(n % 4) } else { 30 + u64::from(n * 7 % 23) };
        let closed = offered / 10;
        let counters = counters(offered, (offered - closed) * 9 / 10, closed);
        ReportDay { day: format!("2026-11-{n:02}"), weekday, counters, is_complete: n != 17 }
    };
    let days: Vec<ReportDay> = (1..=30).map(day).collect();
    days.iter().for_each(|day| total.add(&day.counters));
    let figure = |formula: &crate::stats::Formula| ReportFigure {
        id: formula.id.to_owned(),
        version: formula.version,
        name: formula.ja.to_owned(),
        formula: formula.text(20),
        unit: formula.unit,
        value: formula.figure(&total, 20).value,
    };
    let hours = (0..7_u64).map(|weekday| {
        (0..24_u64)
            .map(
                |hour| if (9..18).contains(&hour) && weekday < 5 { (hour * 5 + weekday * 3) % 17 } else { 0 },
            )
            .collect()
    });
    MonthlyReport {
        version: REPORT_VERSION,
        account_code: "S-001".into(),
        account_name: "株式会社さくら歯科クリニック".into(),
        month: month.to_string(),
        from,
        to,
        time_zone: "Asia/Tokyo".into(),
        is_over: true,
        rules: RULES_VERSION,
        missing: vec![ReportSpan {
            from: at("2026-11-17T10:15:00+09:00"),
            until: at("2026-11-17T10:42:30+09:00"),
        }],
        has_calls: true,
        figures: FORMULAS.iter().map(figure).collect(),
        hours: hours.collect(),
        numbers: vec![number(Some("03-1234-5678"), 420), number(Some("0120-000-123"), 96), number(None, 4)],
        dispositions: dispositions(&[("伝言", 310), ("転送", 88), ("営業電話", 31), ("（なし）", 12)]),
        contract: Some(ReportContract {
            name: "応答率(受付時間内)".into(),
            formula: "answered / (offered - closed - refused)".into(),
            goal: 0.9,
            at_most: false,
            periods: vec![ReportPeriod {
                name: "2026-11".into(),
                verdict: Verdict::Missed,
                figure: Some(0.894),
            }],
        }),
        billing: Some(ReportBilling {
            plan: "標準プラン".into(),
            counts: [(Reason::Counted, 480), (Reason::Disposition, 31)].into(),
            is_closed: true,
        }),
        days,
        total,
    }
}

fn font() -> ReportFont {
    ReportFont::load(None).unwrap_or_else(|error| panic!("{error} (apt-get install fonts-ipaexfont-gothic)"))
}

fn pdf(report: &MonthlyReport) -> Vec<u8> {
    pdf_of(report, &font(), at("2026-12-05T00:00:00Z")).unwrap()
}

/// What a program of poppler says about a PDF.
fn poppler(program: &str, options: &[&str], pdf: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pdf).unwrap();
    let after: &[&str] = if program == "pdftotext" { &["-"] } else { &[] };
    let done = Command::new(program)
        .args(options)
        .arg(file.path())
        .args(after)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (apt-get install poppler-utils)"));
    assert!(done.status.success(), "{program}: {:?}", done.status);
    String::from_utf8(done.stdout).unwrap()
}

/// Without blanks: a reader of a PDF puts them where it likes.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    let report = november();
    let pdf = pdf(&report);
    let text = bare(&poppler("pdftotext", &["-layout"], &pdf));
    let total = &report.total;
    for words in [
        "月次報告書　2026年11月",
        "株式会社さくら歯科クリニック御中",
        "2026-11-01〜2026-11-30（Asia/Tokyo）",
        "▲欠測があります",
        "2026-11-17 10:15:00 〜 2026-11-17 10:42:30",
        "契約上の目標: 応答率(受付時間内) 90.0%以上　実績 89.4%　未達",
        "03-1234-5678",
        "（その他の番号）",
        "営業電話31",
        "料金プラン: 標準プラン（締め済み）",
        "対象 480件、対象外（対応結果） 31件",
        "応答率(受付時間内)（AR-open第2版）=応答÷(入電−時間外−着信拒否)",
        "11-17(火)▲",
        "対応率(折返し・音声メール含む)（AR-care第1版）",
        &format!(
            "音声メール {}件　折返し依頼 {}件（うち折返し済み {}件）",
            total.voice, total.callbacks, total.callbacks_reached
        ),
    ] {
        assert!(text.contains(&bare(words)), "{words} is not in {text}");
    }
    for day in &report.days {
        let cells = format!("{}{}{}", day.counters.offered, day.counters.answered, day.counters.abandoned);
        let row = format!("{}(", day.day.get(5..).unwrap());
        let begins = text.find(&row).unwrap_or_else(|| panic!("no {row}"));
        assert!(text[begins..].chars().take(20).collect::<String>().contains(&cells), "{row} {cells}");
    }
    let sum = format!("合計{}{}{}", total.offered, total.answered, total.abandoned);
    assert!(text.contains(&sum), "{sum}");
    // Every formula stands in it with its arithmetic.
    for figure in &report.figures {
        assert!(text.contains(&bare(&arithmetic_in_words(&figure.formula))), "{}", figure.id);
    }
}

#[test]
fn fonts_are_embedded_as_a_small_subset() {
    let pdf = pdf(&november());
    let fonts = poppler("pdffonts", &[], &pdf);
    let rows: Vec<&str> = fonts.lines().skip(2).collect();
    assert!(!rows.is_empty(), "{fonts}");
    for row in rows {
        // emb sub uni
        assert!(row.contains("yes yes yes"), "{fonts}");
    }
    assert!(pdf.len() < 120 * 1024, "{} bytes", pdf.len());
}

#[test]
fn the_same_report_is_the_same_file() {
    assert_eq!(pdf(&november()), pdf(&november()));
    // What the store keeps of a closed month makes the same file, too.
    let json = serde_json::to_string(&november()).unwrap();
    let kept: MonthlyReport = serde_json::from_str(&json).unwrap();
    assert_eq!(kept, november());
    assert_eq!(pdf(&kept), pdf(&november()));
}

/// The same bytes as before what callers leave behind was counted: nothing of it is drawn.
#[test]
fn a_report_that_an_earlier_version_closed_says_nothing_that_it_did_not_count() {
    let closed = |total: Counters| MonthlyReport {
        rules: 1,
        figures: november().figures.into_iter().filter(|figure| figure.id != "AR-care").collect(),
        total,
        ..november()
    };
    let counted = november().total;
    let before = Counters { voice: 0, callbacks: 0, callbacks_reached: 0, cared: 0, ..counted.clone() };
    assert_eq!(pdf(&closed(counted)), pdf(&closed(before)));
    let text = bare(&poppler("pdftotext", &["-layout"], &pdf(&closed(november().total))));
    assert!(!text.contains("音声メール") && !text.contains("折返し"), "{text}");
}

#[test]
fn a_month_without_calls_and_one_with_too_many_words_are_drawn() {
    let empty = MonthlyReport {
        total: Counters::default(),
        figures: november()
            .figures
            .into_iter()
            .map(|figure| ReportFigure { value: None, ..figure })
            .collect(),
        days: november()
            .days
            .into_iter()
            .map(|day| ReportDay { counters: Counters::default(), ..day })
            .collect(),
        hours: vec![vec![0; 24]; 7],
        numbers: Vec::new(),
        dispositions: Vec::new(),
        contract: None,
        billing: None,
        is_over: false,
        has_calls: false,
        ..november()
    };
    let text = bare(&poppler("pdftotext", &["-layout"], &pdf(&empty)));
    assert!(text.contains("途中経過") && text.contains("応答率（受付時間内）"), "{text}");
    assert!(text.contains("内訳はありません"), "{text}");
    let many = MonthlyReport {
        account_name: "長い名前の株式会社".repeat(20) + "\u{1F9B7}",
        numbers: (0..200)
            .map(|n| ReportNumber {
                number: Some(format!("03-0000-{n:04}")),
                offered: n,
                answered: 0,
                closed: 0,
                refused: 0,
            })
            .collect(),
        dispositions: (0..300)
            .map(|n| ReportDisposition { name: format!("対応結果{n}"), works: n })
            .collect(),
        missing: (0..500)
            .map(|n| ReportSpan {
                from: Timestamp::from_second(1_793_500_000 + n * 60).unwrap(),
                until: Timestamp::from_second(1_793_500_030 + n * 60).unwrap(),
            })
            .collect(),
        ..november()
    };
    let text = bare(&poppler("pdftotext", &["-layout"], &pdf(&many)));
    assert!(
        text.contains("対応結果299") && text.contains("ほか480件") && text.contains("…御中")
            || text.contains("…")
    );
}

#[test]
fn a_font_that_cannot_be_used_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no.ttf");
    let error = ReportFont::load(Some(&missing)).unwrap_err().to_string();
    assert!(error.contains("no.ttf") && error.contains("[reports]"), "{error}");
    let text = dir.path().join("text.ttf");
    std::fs::write(&text, "no font").unwrap();
    let error = ReportFont::load(Some(&text)).unwrap_err().to_string();
    assert!(
        error.contains("neither TrueType nor OpenType") && error.contains("fonts-ipaexfont-gothic"),
        "{error}"
    );
}

#[test]
fn a_text_becomes_pages_of_whole_lines() {
    const WORDS: &str = "注文1234の納期を、髙橋様が確認したいとのことです。";
    let lines: Vec<String> = (0..80).map(|n| format!("{n}行目。{WORDS}{WORDS}")).collect();
    let document = TextDocument {
        name: "さくら商事".into(),
        title: "【至急】ヤマモト様｜さくら商事".into(),
        text: format!("{}\n\n以上", lines.join("\n")),
        foot: "261130-0007".into(),
    };
    let pdf = || document.pdf(&font(), at("2026-11-30T00:00:00Z")).unwrap();
    assert_eq!(pdf(), pdf(), "the same each time");
    let text = bare(&poppler("pdftotext", &["-layout"], &pdf()));
    let first = text.find("【至急】ヤマモト様｜さくら商事").unwrap();
    assert!(first < text.find("0行目。").unwrap() && text.ends_with("以上261130-00075/5"), "{text}");
    for n in 0..80 {
        assert!(text.contains(&format!("{n}行目。注文1234")), "{n}");
    }
    assert_eq!(text.matches("確認したいとのことです。").count(), 160);
}
