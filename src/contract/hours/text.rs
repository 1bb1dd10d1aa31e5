//! The text form of hours, as imports and tables have it.
//!
//! | a part, separated by `;` | is |
//! |---|---|
//! | `月-金 09:00-18:00`, `火木 09:00-12:00 13:00-18:00`, `毎日 …`, `mon-fri …` | spans of the week |
//! | `祝 休`, `祝 平日`, `祝 10:00-15:00` (`holidays closed`, `holidays weekday`) | what holds on holidays |
//! | `臨 2026-12-29 10:00-15:00` (`open …`) | a date with hours of its own |
//! | `休 2026-01-01 2026-12-30..2027-01-03` (`closed …`) | days off |
//!
//! Invariant: what [`Hours`] writes, it reads as the same hours, but the time zone, which has no text form.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    DAYS, DateRange, Day, DaySpan, HolidayRule, Hours, HoursError, OpenDay, RANGE_DAYS_MAX, Span, clock,
};

impl Hours {
    /// Parses the text form; `None` (always open) for an empty text.
    ///
    /// # Errors
    /// A part that is none of those in the module header.
    pub fn read(text: &str) -> Result<Option<Self>, HoursError> {
        let mut hours = Self::default();
        for part in text.split([';', '；']).map(str::trim).filter(|part| !part.is_empty()) {
            let (first, rest) = part.split_once([' ', '\u{3000}']).unwrap_or((part, ""));
            match first {
                "休" | "休日" | "closed" => {
                    let dates: Result<Vec<DateRange>, _> = rest.split_whitespace().map(str::parse).collect();
                    hours.closed_on.extend(dates?);
                }
                "祝" | "祝日" | "holidays" => hours.read_holidays(rest)?,
                "臨" | "臨時営業" | "open" => hours.open_on.push(read_open_day(rest)?),
                days => {
                    let days = read_days(days)?;
                    for span in rest.split_whitespace() {
                        let DaySpan { from, to } = read_span(span)?;
                        hours.weekly.push(Span { days: days.clone(), from, to });
                    }
                }
            }
        }
        let hours = (hours != Self::default()).then_some(hours);
        hours.as_ref().map_or(Ok(()), Self::check)?;
        Ok(hours)
    }

    fn read_holidays(&mut self, rest: &str) -> Result<(), HoursError> {
        let rule = match rest.trim() {
            "休" | "休業" | "closed" => HolidayRule::Closed,
            "平日" | "曜日通り" | "weekday" => HolidayRule::AsWeekday,
            spans => {
                self.holiday_spans = read_spans(spans)?;
                HolidayRule::Spans
            }
        };
        if self.holidays.replace(rule).is_some() {
            return Err(HoursError("holidays (祝) are named twice".to_owned()));
        }
        Ok(())
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut days = &[][..];
        for span in &self.weekly {
            let times = DaySpan { from: span.from, to: span.to };
            if span.days == days {
                write!(f, " {times}")?;
            } else {
                write!(f, "{separator}{} {times}", days_text(&span.days))?;
            }
            (separator, days) = ("; ", &span.days);
        }
        if let Some(rule) = self.holidays {
            write!(f, "{separator}祝")?;
            match rule {
                HolidayRule::Closed => f.write_str(" 休")?,
                HolidayRule::AsWeekday => f.write_str(" 平日")?,
                HolidayRule::Spans => self.holiday_spans.iter().try_for_each(|span| write!(f, " {span}"))?,
            }
            separator = "; ";
        }
        for day in &self.open_on {
            write!(f, "{separator}臨 {}", day.date)?;
            day.spans.iter().try_for_each(|span| write!(f, " {span}"))?;
            separator = "; ";
        }
        if !self.closed_on.is_empty() {
            write!(f, "{separator}休")?;
            self.closed_on.iter().try_for_each(|range| write!(f, " {range}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for DaySpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))
    }
}

impl fmt::Display for DateRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}..{}", self.first, self.last)
    }
}

impl FromStr for DateRange {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let date = |part: &str| {
            part.trim().parse::<Date>().map_err(|_| HoursError(format!("{part:?} is not a date")))
        };
        let (first, last) = match text.split_once("..").or_else(|| text.split_once(['〜', '～'])) {
            Some((first, last)) => (date(first)?, date(last)?),
            None => (date(text)?, date(text)?),
        };
        let days = (last - first).get_days();
        if !(0..RANGE_DAYS_MAX).contains(&days) {
            return Err(HoursError(format!(
                "{text:?} must end after its beginning and within {RANGE_DAYS_MAX} days"
            )));
        }
        Ok(Self { first, last })
    }
}

impl Serialize for DateRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DateRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `月-金` for a run of days, `月火木` otherwise.
fn days_text(days: &[Day]) -> String {
    let positions: Vec<usize> =
        days.iter().filter_map(|day| DAYS.iter().position(|known| known.0 == *day)).collect();
    let name = |position: &usize| DAYS.get(*position).map_or("", |known| known.1);
    let is_run = positions.windows(2).all(|pair| matches!(pair, [a, b] if (a + 1) % DAYS.len() == *b));
    match positions.as_slice() {
        [first, _, .., last] if is_run => format!("{}-{}", name(first), name(last)),
        _ => positions.iter().map(name).collect(),
    }
}

/// `月-金`, `月火木`, `mon,wed`, `mon-fri`, `毎日`.
fn read_days(text: &str) -> Result<Vec<Day>, HoursError> {
    if matches!(text, "毎日" | "daily") {
        return Ok(DAYS.iter().map(|d| d.0).collect());
    }
    let wrong = || HoursError(format!("{text:?} does not name days"));
    let lower = text.to_lowercase();
    let mut days = Vec::new();
    for part in lower.split([',', '、', '・', '/']) {
        if let Some((first, last)) = part.split_once(['-', '〜', '～', '－']) {
            let (first, last) = (position(first).ok_or_else(wrong)?, position(last).ok_or_else(wrong)?);
            let span = (last + DAYS.len() - first) % DAYS.len();
            days.extend((0..=span).filter_map(|step| DAYS.get((first + step) % DAYS.len())).map(|d| d.0));
        } else if let Some(position) = position(part) {
            days.extend(DAYS.get(position).map(|d| d.0));
        } else {
            for c in part.chars() {
                let position = position(&c.to_string()).ok_or_else(wrong)?;
                days.extend(DAYS.get(position).map(|d| d.0));
            }
        }
    }
    days.dedup();
    if days.is_empty() { Err(wrong()) } else { Ok(days) }
}

fn position(name: &str) -> Option<usize> {
    DAYS.iter().position(|(_, japanese, english, _)| name == *japanese || name == *english)
}

fn read_open_day(text: &str) -> Result<OpenDay, HoursError> {
    let (date, spans) = text.trim().split_once([' ', '\u{3000}']).unwrap_or((text.trim(), ""));
    let date = date.parse().map_err(|_| HoursError(format!("{date:?} is not a date")))?;
    Ok(OpenDay { date, spans: read_spans(spans)? })
}

fn read_spans(text: &str) -> Result<Vec<DaySpan>, HoursError> {
    let spans: Vec<DaySpan> = text.split_whitespace().map(read_span).collect::<Result<_, _>>()?;
    if spans.is_empty() {
        Err(HoursError("a span such as 09:00-18:00 is missing".to_owned()))
    } else {
        Ok(spans)
    }
}

fn read_span(text: &str) -> Result<DaySpan, HoursError> {
    let wrong = || HoursError(format!("{text:?} is not a span of hours"));
    let (from, to) = text.split_once(['-', '〜', '～', '－']).ok_or_else(wrong)?;
    let read = |time: &str| -> Result<Time, HoursError> { clock::read(time).ok_or_else(wrong) };
    Ok(DaySpan { from: read(from)?, to: read(to)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_go_both_ways() {
        for text in [
            "月-金 09:00-12:00 13:00-18:00; 土日 09:00-12:00; 休 2026-01-01 2026-01-02",
            "月-金 09:00-18:00; 祝 休; 臨 2026-12-29 10:00-15:00; 休 2026-12-30..2027-01-03",
            "月-日 22:00-06:00; 祝 10:00-12:00 13:00-15:00",
            "祝 平日; 休 2026-01-01",
        ] {
            let hours = Hours::read(text).unwrap().unwrap();
            assert_eq!(hours.to_string(), text);
            let json = serde_json::to_string(&hours).unwrap();
            assert_eq!(serde_json::from_str::<Hours>(&json).unwrap(), hours);
        }
        assert_eq!(Hours::read(" ").unwrap(), None);
    }

    #[test]
    fn english_words_and_full_width_signs_are_read() {
        let read = |text| Hours::read(text).unwrap().unwrap().to_string();
        assert_eq!(
            read(
                "mon-fri 09:00-18:00; holidays 10:00-12:00; open 2026-12-29 09:00-12:00; closed 2026-12-30..2027-01-03"
            ),
            "月-金 09:00-18:00; 祝 10:00-12:00; 臨 2026-12-29 09:00-12:00; 休 2026-12-30..2027-01-03"
        );
        assert_eq!(
            read("月〜金　9：00〜18：00； 祝日 休業； 休日 2026-12-30〜2027-01-03"),
            "月-金 09:00-18:00; 祝 休; 休 2026-12-30..2027-01-03"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "9-18",
            "月 9時-18時",
            "某日 09:00-18:00",
            "月 25:00-26:00",
            "休 明日",
            "月 0900",
            "祝",
            "祝 毎日",
            "祝 休; 祝 平日",
            "臨 2026-12-29",
            "臨 09:00-10:00",
            "休 2027-01-03..2026-12-30",
            "休 2026-01-01..2028-01-01",
            "臨 2026-12-29 09:00-10:00; 臨 2026-12-29 11:00-12:00",
        ] {
            assert!(Hours::read(text).is_err(), "{text}");
        }
    }
}
