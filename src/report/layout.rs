//! What stands where on the pages of a report.
//!
//! The first page has what a company looks for: the numbers of the month, whether the goal was kept, and the two charts. The
//! tables follow, and at the end the arithmetic of every figure, so that nobody has to ask what a number means.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::canvas::{Align, Canvas, Colour, PAGE_HEIGHT, PAGE_WIDTH, PdfError};
use super::charts;
use super::content::{MonthlyReport, ReportDay, ReportDisposition, ReportFigure};
use super::font::ReportFont;
use crate::billing::Reason;
use crate::stats::{COUNTERS, Counters, FORMULAS, Unit, Verdict};

/// Text.
pub(super) const INK: Colour = (17, 24, 39);
/// Text beside it.
pub(super) const GREY: Colour = (107, 114, 128);
/// Lines.
pub(super) const RULE: Colour = (209, 213, 219);
/// What must be seen.
const RED: Colour = (185, 28, 28);
/// The background of headings.
const PALE: Colour = (243, 244, 246);
/// The weekdays, from Monday.
pub(super) const WEEKDAYS: [&str; 7] = ["月", "火", "水", "木", "金", "土", "日"];
/// The margin on every side.
const MARGIN: f32 = 40.0;
/// The width between the margins.
const WIDTH: f32 = PAGE_WIDTH - 2.0 * MARGIN;
/// Where a page ends, above its footer.
const BOTTOM: f32 = PAGE_HEIGHT - 50.0;
/// The height of a row of a table.
const ROW: f32 = 14.0;
/// Most spans that are listed; the rest is counted.
const MISSING_MAX: usize = 20;
/// The version of the rules that counts what callers leave behind, and whom accounts refuse.
const LEFT_BEHIND_RULES: i64 = 2;
/// Most numbers that have a row.
const NUMBERS_MAX: usize = 30;

/// A column of a table: its heading, its width and where its cells stand.
type Column = (&'static str, f32, Align);

/// The report as a PDF; `at` is the time in it.
///
/// # Errors
/// [`PdfError`]: the font cannot be used, or the library refused the document.
pub fn pdf_of(report: &MonthlyReport, font: &ReportFont, at: Timestamp) -> Result<Vec<u8>, PdfError> {
    let title = format!("月次報告書 {} {}", report.month_in_words(), report.account_name);
    drawn(report, font)?.into_pdf(&title, at)
}

/// How many pages a report has.
///
/// # Errors
/// [`PdfError`]: the font cannot be used.
pub fn pages_of(report: &MonthlyReport, font: &ReportFont) -> Result<usize, PdfError> {
    Ok(drawn(report, font)?.page_count())
}

fn drawn<'a>(report: &MonthlyReport, font: &'a ReportFont) -> Result<Canvas<'a>, PdfError> {
    let mut page = Layout { canvas: Canvas::new(font)?, report, y: MARGIN, zone: zone_of(report) };
    page.head();
    page.summary();
    page.contract();
    page.charts();
    page.days();
    page.numbers();
    page.work();
    page.billing();
    page.definitions();
    page.missing();
    let mut canvas = page.canvas;
    let foot = format!("{}　{}", report.account_name, report.month_in_words());
    let foot = canvas.fitted(&foot, 7.5, WIDTH - 60.0);
    let y = PAGE_HEIGHT - 28.0;
    canvas.on_every_page((MARGIN, y), (7.5, GREY), Align::Left, |_, _| foot.clone());
    canvas.on_every_page((MARGIN + WIDTH, y), (7.5, GREY), Align::Right, |n, of| format!("{n} / {of}"));
    Ok(canvas)
}

fn zone_of(report: &MonthlyReport) -> TimeZone {
    TimeZone::get(&report.time_zone).unwrap_or(TimeZone::UTC)
}

struct Layout<'a, 'r> {
    canvas: Canvas<'a>,
    report: &'r MonthlyReport,
    /// Where the next part begins.
    y: f32,
    zone: TimeZone,
}

impl Layout<'_, '_> {
    fn head(&mut self) {
        let report = self.report;
        let title = format!("月次報告書　{}", report.month_in_words());
        self.canvas.text((MARGIN, self.y + 18.0), 18.0, INK, Align::Left, &title);
        if !report.is_over {
            let at = (MARGIN + WIDTH, self.y + 18.0);
            self.canvas.text(at, 11.0, RED, Align::Right, "途中経過（月は終わっていません）");
        }
        let name = self.canvas.fitted(&format!("{} 御中", report.account_name), 13.0, WIDTH - 190.0);
        self.canvas.text((MARGIN, self.y + 42.0), 13.0, INK, Align::Left, &name);
        let day = |at: Timestamp| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d").to_string();
        // The month ends where the next one begins.
        let last = Timestamp::from_millisecond(report.to.as_millisecond() - 1).unwrap_or(report.to);
        let span = format!("{} 〜 {}（{}）", day(report.from), day(last), report.time_zone);
        self.canvas.text((MARGIN + WIDTH, self.y + 42.0), 8.0, GREY, Align::Right, &span);
        self.y += 52.0;
        if !report.is_complete() {
            self.y += 4.0;
            self.canvas.rectangle((MARGIN, self.y), (WIDTH, 18.0), (254, 242, 242));
            let text = "▲ 欠測があります: 記録できなかった時間の電話は含まれません（最終ページに一覧）。";
            self.canvas.text((MARGIN + 6.0, self.y + 12.5), 9.0, RED, Align::Left, text);
            self.y += 20.0;
        }
        self.y += 8.0;
    }

    fn summary(&mut self) {
        let (report, total) = (self.report, &self.report.total);
        let figure = |id: &str| report.figure(id).map_or_else(|| "–".to_owned(), written);
        let missed = total.overflowed + total.blocked;
        let tiles = [
            ("入電", total.offered.to_string()),
            ("応答", total.answered.to_string()),
            ("応答率（受付時間内）", figure("AR-open")),
            ("時間内応答率（20秒）", figure("SL-ignore")),
            ("放棄", format!("{}（うち短時間 {}）", total.abandoned, total.short)),
            ("あふれ・話中", missed.to_string()),
            ("時間外", total.closed.to_string()),
            ("平均応答時間", figure("ASA")),
        ];
        let (width, height) = (WIDTH / 4.0, 40.0);
        for (n, (name, value)) in tiles.iter().enumerate() {
            let (left, top) = (MARGIN + (n % 4) as f32 * width, self.y + (n / 4) as f32 * height);
            self.canvas.rectangle((left + 2.0, top + 2.0), (width - 4.0, height - 4.0), PALE);
            self.canvas.text((left + 9.0, top + 14.0), 8.0, GREY, Align::Left, name);
            let size = if value.chars().count() > 8 { 10.0 } else { 15.0 };
            self.canvas.text((left + 9.0, top + 32.0), size, INK, Align::Left, value);
        }
        self.y += 2.0 * height + 6.0;
        if self.counts_left_behind() {
            let text = format!(
                "音声メール {}件　折返し依頼 {}件（うち折返し済み {}件）　着信拒否 {}件　対応率（折返し・音声メール含む） {}",
                total.voice,
                total.callbacks,
                total.callbacks_reached,
                total.refused,
                figure("AR-care")
            );
            self.canvas.text((MARGIN + 2.0, self.y + 8.0), 9.5, INK, Align::Left, &text);
            self.y += 16.0;
        }
    }

    /// A closed report of an earlier version says nothing that it did not count.
    fn counts_left_behind(&self) -> bool {
        self.report.rules >= LEFT_BEHIND_RULES
    }

    fn contract(&mut self) {
        let Some(contract) = &self.report.contract else { return };
        let bound = if contract.at_most { "以下" } else { "以上" };
        let mut text = format!("契約上の目標: {} {}{bound}", contract.name, percent(contract.goal));
        let count =
            |verdict: Verdict| contract.periods.iter().filter(|period| period.verdict == verdict).count();
        let missed = count(Verdict::Missed);
        if let [only] = contract.periods.as_slice() {
            let figure = only.figure.map_or_else(|| "–".to_owned(), percent);
            text.push_str(&format!("　実績 {figure}　{}", verdict_in_words(only.verdict)));
        } else {
            text.push_str(&format!(
                "　日ごと: 達成 {}日、未達 {missed}日、判定保留 {}日、該当なし {}日",
                count(Verdict::Met),
                count(Verdict::Pending),
                count(Verdict::NoCalls)
            ));
        }
        let colour = if missed > 0 { RED } else { INK };
        let text = self.canvas.fitted(&text, 9.5, WIDTH);
        self.canvas.text((MARGIN + 2.0, self.y + 12.0), 9.5, colour, Align::Left, &text);
        self.y += 20.0;
    }

    fn charts(&mut self) {
        self.heading("日ごとの入電", 170.0);
        self.y = charts::days(&mut self.canvas, (MARGIN, self.y), WIDTH, self.report) + 8.0;
        self.heading("曜日・時間帯ごとの入電", 130.0);
        self.y = charts::hours(&mut self.canvas, (MARGIN, self.y), WIDTH, self.report) + 8.0;
    }

    fn days(&mut self) {
        self.next_page();
        self.heading("日別", 60.0);
        let columns: [Column; 11] = [
            ("日", 62.0, Align::Left),
            ("入電", 42.0, Align::Right),
            ("応答", 42.0, Align::Right),
            ("放棄", 42.0, Align::Right),
            ("短時間", 42.0, Align::Right),
            ("あふれ", 42.0, Align::Right),
            ("話中", 42.0, Align::Right),
            ("時間外", 42.0, Align::Right),
            ("応答率", 52.0, Align::Right),
            ("時間内", 52.0, Align::Right),
            ("平均応答", 55.0, Align::Right),
        ];
        self.table_head(&columns);
        for day in &self.report.days {
            self.row(&columns, &cells_of(&name_of(day), &day.counters), INK);
        }
        self.canvas.line((MARGIN, self.y + 1.0), (MARGIN + WIDTH, self.y + 1.0), 0.8, INK);
        self.row(&columns, &cells_of("合計", &self.report.total), INK);
        if !self.report.is_complete() {
            self.note("▲ その日に欠測があります。");
        }
        self.note(
            "応答率 = 応答率（受付時間内）、時間内 = 時間内応答率（20秒）、平均応答 = 平均応答時間（秒）。",
        );
    }

    fn numbers(&mut self) {
        self.heading("番号別", 60.0);
        if !self.report.has_calls {
            self.note("通話の保存期間が過ぎているため、内訳はありません。");
            return;
        }
        let columns: [Column; 5] = [
            ("番号", 180.0, Align::Left),
            ("入電", 60.0, Align::Right),
            ("応答", 60.0, Align::Right),
            ("時間外", 60.0, Align::Right),
            ("応答率", 70.0, Align::Right),
        ];
        self.table_head(&columns);
        for number in self.report.numbers.iter().take(NUMBERS_MAX) {
            let name = number.number.clone().unwrap_or_else(|| "（その他の番号）".to_owned());
            let rate = percent_of(number.answered, number.offered - number.closed - number.refused);
            let counts = [number.offered, number.answered, number.closed].map(|count| count.to_string());
            let [offered, answered, closed] = counts;
            self.row(&columns, &[name, offered, answered, closed, rate], INK);
        }
    }

    fn work(&mut self) {
        let total = &self.report.total;
        self.heading("転送・再入電・伝言", 60.0);
        let figure = |id: &str| self.report.figure(id).map_or_else(|| "–".to_owned(), written);
        let lines = [
            format!(
                "転送: 試行 {}件、成功 {}件（{}）、戻り {}件",
                total.transfers_tried,
                total.transfers_reached,
                figure("TR"),
                total.transfers_returned
            ),
            format!(
                "再入電: {}件（再入電率 {}）、かけ直しで応答 {}件、番号非表示 {}件",
                total.repeat,
                figure("RC"),
                total.recovered,
                total.withheld
            ),
            format!("伝言: {}件　平均処理時間 {}", total.messages, figure("AHT")),
        ];
        for line in &lines {
            self.line_of_text(line);
        }
        self.heading("対応結果（後処理の件数）", 46.0);
        if !self.report.has_calls {
            self.note("通話の保存期間が過ぎているため、内訳はありません。");
            return;
        }
        if self.report.dispositions.is_empty() {
            self.note("記録はありません。");
            return;
        }
        let columns: [Column; 2] = [("対応結果", 180.0, Align::Left), ("件数", 60.0, Align::Right)];
        self.table_head(&columns);
        for ReportDisposition { name, works } in &self.report.dispositions {
            self.row(&columns, &[name.clone(), works.to_string()], INK);
        }
    }

    fn billing(&mut self) {
        let Some(billing) = &self.report.billing else { return };
        self.heading("請求件数", 46.0);
        let state = if billing.is_closed { "締め済み" } else { "未締め" };
        self.line_of_text(&format!("料金プラン: {}（{state}）", billing.plan));
        let counts: Vec<String> = billing
            .counts
            .iter()
            .map(|(reason, calls)| format!("{} {calls}件", reason_in_words(*reason)))
            .collect();
        self.line_of_text(&counts.join("、"));
    }

    fn definitions(&mut self) {
        self.heading("用語と計算式", 60.0);
        self.note("1本の電話は、呼出・待ち列・転送の回数にかかわらず1件です。入電した日時に数えます。");
        let refused = if self.counts_left_behind() { " + 着信拒否" } else { "" };
        self.note(&format!(
            "入電 = 応答 + 他応答 + 時間外{refused} + 話中 + あふれ + 放棄 + 不明。短時間放棄は待ち5秒以内の放棄です。"
        ));
        for figure in &self.report.figures {
            let version = figure.version;
            let text = format!(
                "{}（{} 第{version}版） = {}",
                figure.name,
                figure.id,
                arithmetic_in_words(&figure.formula)
            );
            self.note(&text);
        }
        self.note("分母が0のときは「–」です。");
    }

    fn missing(&mut self) {
        if self.report.is_complete() {
            return;
        }
        self.heading("欠測（電話を記録できなかった時間）", 60.0);
        let time = |at: Timestamp| at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let lines: Vec<String> = self
            .report
            .missing
            .iter()
            .take(MISSING_MAX)
            .map(|span| format!("{} 〜 {}", time(span.from), time(span.until)))
            .collect();
        for line in &lines {
            self.line_of_text(line);
        }
        let more = self.report.missing.len().saturating_sub(MISSING_MAX);
        if more > 0 {
            self.note(&format!("ほか{more}件"));
        }
    }

    /// A heading; what follows has at least `room` below it on the same page.
    fn heading(&mut self, text: &str, room: f32) {
        if self.y + 22.0 + room > BOTTOM {
            self.next_page();
        }
        self.y += 6.0;
        self.canvas.rectangle((MARGIN, self.y + 1.0), (3.0, 11.0), (29, 78, 216));
        self.canvas.text((MARGIN + 8.0, self.y + 11.0), 11.0, INK, Align::Left, text);
        self.y += 20.0;
    }

    fn table_head(&mut self, columns: &[Column]) {
        let width: f32 = columns.iter().map(|column| column.1).sum();
        self.canvas.rectangle((MARGIN, self.y), (width, ROW), PALE);
        let headings: Vec<String> = columns.iter().map(|column| column.0.to_owned()).collect();
        self.cells(columns, &headings, GREY);
        self.y += ROW;
    }

    fn row(&mut self, columns: &[Column], cells: &[String], colour: Colour) {
        if self.y + ROW > BOTTOM {
            self.next_page();
            self.table_head(columns);
        }
        self.cells(columns, cells, colour);
        self.y += ROW;
        let width: f32 = columns.iter().map(|column| column.1).sum();
        self.canvas.line((MARGIN, self.y), (MARGIN + width, self.y), 0.3, RULE);
    }

    fn cells(&mut self, columns: &[Column], cells: &[String], colour: Colour) {
        let mut x = MARGIN;
        for ((_, width, align), cell) in columns.iter().zip(cells) {
            let at = match align {
                Align::Right => x + width - 4.0,
                Align::Centre => x + width / 2.0,
                Align::Left => x + 4.0,
            };
            let cell = self.canvas.fitted(cell, 8.5, width - 6.0);
            self.canvas.text((at, self.y + ROW - 4.0), 8.5, colour, *align, &cell);
            x += width;
        }
    }

    fn line_of_text(&mut self, text: &str) {
        self.paragraph(text, 9.0, INK);
    }

    fn note(&mut self, text: &str) {
        self.paragraph(text, 8.0, GREY);
    }

    /// A text in as many lines as it needs.
    fn paragraph(&mut self, text: &str, size: f32, colour: Colour) {
        let mut rest = text;
        while !rest.is_empty() {
            if self.y + size + 5.0 > BOTTOM {
                self.next_page();
            }
            let end = self.line_end(rest, size);
            let (line, after) = rest.split_at(end);
            self.canvas.text((MARGIN + 2.0, self.y + size + 1.0), size, colour, Align::Left, line);
            self.y += size + 5.0;
            rest = after;
        }
    }

    /// How much of the text fits into a line, in bytes; at least one character.
    fn line_end(&self, text: &str, size: f32) -> usize {
        let mut end = text.chars().next().map_or(0, char::len_utf8);
        for (at, c) in text.char_indices() {
            let next = at + c.len_utf8();
            if self.canvas.width(&text[..next], size) > WIDTH - 4.0 {
                break;
            }
            end = end.max(next);
        }
        end
    }

    fn next_page(&mut self) {
        self.canvas.new_page();
        self.y = MARGIN;
    }
}

fn name_of(day: &ReportDay) -> String {
    let weekday = WEEKDAYS.get(usize::from(day.weekday)).copied().unwrap_or_default();
    let mark = if day.is_complete { "" } else { " ▲" };
    let month_and_day = day.day.get(5..).unwrap_or_default();
    format!("{month_and_day}({weekday}){mark}")
}

fn cells_of(name: &str, counters: &Counters) -> Vec<String> {
    let figure = |id: &str| {
        let formula = FORMULAS.iter().find(|formula| formula.id == id);
        let value = formula.and_then(|formula| formula.figure(counters, 20).value);
        match (value, formula.map(|formula| formula.unit)) {
            (Some(value), Some(Unit::Ratio)) => percent(value),
            (Some(value), _) => format!("{:.1}", value / 1_000.0),
            (None, _) => "–".to_owned(),
        }
    };
    let count = |value: u64| value.to_string();
    vec![
        name.to_owned(),
        count(counters.offered),
        count(counters.answered),
        count(counters.abandoned),
        count(counters.short),
        count(counters.overflowed),
        count(counters.blocked),
        count(counters.closed),
        figure("AR-open"),
        figure("SL-ignore"),
        figure("ASA"),
    ]
}

/// A figure as people read it.
fn written(figure: &ReportFigure) -> String {
    match (figure.value, figure.unit) {
        (None, _) => "–".to_owned(),
        (Some(value), Unit::Ratio) => percent(value),
        (Some(value), Unit::Milliseconds) => format!("{:.1}秒", value / 1_000.0),
    }
}

fn percent_of(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { percent(part as f64 / whole as f64) }
}

/// Cut and not rounded, so that no figure below its goal seems to be the goal.
fn percent(part: f64) -> String {
    format!("{:.1}%", (part * 1_000.0 + 1e-6).floor() / 10.0)
}

/// The arithmetic of a formula in Japanese.
pub(super) fn arithmetic_in_words(formula: &str) -> String {
    let word = |token: &str| {
        let bare = token.trim_matches(['(', ')']);
        let name = match COUNTERS.iter().find(|counter| counter.id == bare) {
            Some(counter) => counter.ja,
            None if bare == "/" => "÷",
            None if bare == "-" => "−",
            None => bare,
        };
        token.replacen(bare, name, 1)
    };
    formula.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn verdict_in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "達成",
        Verdict::Missed => "未達",
        Verdict::Pending => "判定保留",
        Verdict::NoCalls => "該当なし",
    }
}

fn reason_in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Counted => "対象",
        Reason::NotAnswered => "対象外（応答なし）",
        Reason::Closed => "対象外（時間外）",
        Reason::NoMessage => "対象外（伝言なし）",
        Reason::Disposition => "対象外（対応結果）",
        Reason::ShortTalk => "対象外（短い通話）",
        Reason::Merged => "対象外（同じ発信者）",
    }
}
