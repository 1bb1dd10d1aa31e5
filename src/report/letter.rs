//! The mail that carries a report.

use super::content::MonthlyReport;

/// The subject, the text and the name of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportLetter {
    /// The subject.
    pub subject: String,
    /// The text; lines end with `\n`.
    pub text: String,
}

/// The mail of a report, in the name of `from_name`.
#[must_use]
pub fn letter_of(report: &MonthlyReport, from_name: &str) -> ReportLetter {
    let (month, total) = (report.month_in_words(), &report.total);
    let figure = |id: &str| {
        let value = report.figure(id).and_then(|figure| figure.value);
        value.map_or_else(|| "–".to_owned(), |value| format!("{:.1}%", value * 100.0))
    };
    let missing = if report.is_complete() {
        ""
    } else {
        "\n※ 記録できなかった時間があります。添付の最終ページをご覧ください。\n"
    };
    let text = format!(
        "{name} 御中\n\nいつもお世話になっております。{month}の月次報告書をお送りします。\n\n\
         入電 {offered}件　応答 {answered}件　応答率（受付時間内） {rate}\n\
         放棄 {abandoned}件　時間外 {closed}件\n{missing}\n\
         詳しくは添付のPDFをご覧ください。\n\n{from_name}\n",
        name = report.account_name,
        offered = total.offered,
        answered = total.answered,
        rate = figure("AR-open"),
        abandoned = total.abandoned,
        closed = total.closed,
    );
    ReportLetter { subject: format!("【月次報告書】{month} {}", report.account_name), text }
}
