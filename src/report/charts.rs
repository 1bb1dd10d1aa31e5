//! The charts of a report: the calls of each day as stacked bars, and weekdays by hour as a heat map.
//!
//! Invariant: a day that was not followed all the time is hatched, and no value is told by colour alone: the parts of a bar stand
//! in one order, and each cell of the heat map has its number.

use super::canvas::{Align, Canvas, Colour};
use super::content::{MonthlyReport, ReportDay};
use super::layout::{GREY, INK, RULE, WEEKDAYS};
use crate::stats::Counters;

/// The parts of a bar, from below: the name and the colour.
const PARTS: [(&str, Colour); 3] =
    [("応答", (29, 78, 216)), ("不応答", (234, 88, 12)), ("時間外", (156, 163, 175))];
/// The darkest cell of the heat map.
const DARKEST: Colour = (30, 64, 175);
/// Distance of the lines of a hatch.
const HATCH: f32 = 4.0;

/// The calls of a bar's parts.
fn parts_of(counters: &Counters) -> [u64; 3] {
    let unanswered = counters.offered.saturating_sub(counters.answered + counters.closed);
    [counters.answered, unanswered, counters.closed]
}

/// Draws the calls of each day; returns where it ends.
pub(super) fn days(
    canvas: &mut Canvas<'_>,
    (left, top): (f32, f32),
    width: f32,
    report: &MonthlyReport,
) -> f32 {
    const HEIGHT: f32 = 130.0;
    let (axis, base) = (left + 26.0, top + 14.0 + HEIGHT);
    let most = report.days.iter().map(|day| day.counters.offered).max().unwrap_or(0);
    let step = step_of(most);
    let scale = HEIGHT / (step * 4) as f32;
    legend(canvas, (axis, top + 4.0));
    for line in 0..=4_u64 {
        let y = base - (line * step) as f32 * scale;
        canvas.line((axis, y), (left + width, y), 0.4, RULE);
        canvas.text((axis - 4.0, y + 2.5), 7.0, GREY, Align::Right, &(line * step).to_string());
    }
    let column = (left + width - axis) / report.days.len().max(1) as f32;
    for (n, day) in report.days.iter().enumerate() {
        let x = axis + n as f32 * column;
        if !day.is_complete {
            hatch(canvas, (x, base - HEIGHT), (column, HEIGHT));
        }
        let mut y = base;
        for (calls, (_, colour)) in parts_of(&day.counters).into_iter().zip(PARTS) {
            let height = calls as f32 * scale;
            y -= height;
            canvas.rectangle((x + column * 0.15, y), (column * 0.7, height), colour);
        }
        let colour = if day.weekday >= 5 { (185, 28, 28) } else { GREY };
        canvas.text((x + column / 2.0, base + 9.0), 6.5, colour, Align::Centre, &day_of_month(day));
    }
    canvas.line((axis, base), (left + width, base), 0.8, INK);
    base + 14.0
}

fn day_of_month(day: &ReportDay) -> String {
    day.day.rsplit('-').next().unwrap_or_default().trim_start_matches('0').to_owned()
}

fn legend(canvas: &mut Canvas<'_>, (mut x, y): (f32, f32)) {
    for (name, colour) in PARTS {
        canvas.rectangle((x, y - 6.0), (8.0, 7.0), colour);
        canvas.text((x + 11.0, y), 7.5, INK, Align::Left, name);
        x += 20.0 + canvas.width(name, 7.5);
    }
    canvas.text((x, y), 7.5, GREY, Align::Left, "不応答: 放棄・あふれ・話中・他応答・不明");
}

/// Lines from corner to corner over a rectangle.
fn hatch(canvas: &mut Canvas<'_>, (left, top): (f32, f32), (width, height): (f32, f32)) {
    let mut at = HATCH;
    while at < width + height {
        // From the upper or right edge down to the left or lower one.
        let from = (left + at.min(width), top + (at - width).max(0.0));
        let to = (left + (at - height).max(0.0), top + at.min(height));
        canvas.line(from, to, 0.3, (185, 28, 28));
        at += HATCH;
    }
}

/// The distance of four lines above which no bar rises.
fn step_of(most: u64) -> u64 {
    let least = most.div_ceil(4).max(1);
    let power = 10_u64.pow(least.ilog10());
    [1, 2, 5, 10].into_iter().map(|n| n * power).find(|step| *step >= least).unwrap_or(least)
}

/// Draws the calls of each weekday and hour; returns where it ends.
pub(super) fn hours(
    canvas: &mut Canvas<'_>,
    (left, top): (f32, f32),
    width: f32,
    report: &MonthlyReport,
) -> f32 {
    const ROW: f32 = 15.0;
    let axis = left + 26.0;
    let column = (left + width - axis) / 24.0;
    let most = report.hours.iter().flatten().copied().max().unwrap_or(0).max(1);
    for hour in 0..24_u16 {
        let x = axis + (f32::from(hour) + 0.5) * column;
        canvas.text((x, top + 6.0), 6.5, GREY, Align::Centre, &hour.to_string());
    }
    let mut y = top + 10.0;
    for (name, row) in WEEKDAYS.iter().zip(&report.hours) {
        canvas.text((axis - 6.0, y + ROW - 4.5), 7.5, INK, Align::Right, name);
        for (hour, calls) in row.iter().enumerate() {
            let x = axis + hour as f32 * column;
            let part = *calls as f32 / most as f32;
            canvas.rectangle((x + 0.5, y + 0.5), (column - 1.0, ROW - 1.0), shade(part));
            if *calls > 0 {
                let colour = if part > 0.5 { (255, 255, 255) } else { INK };
                let at = (x + column / 2.0, y + ROW - 5.0);
                canvas.text(at, 6.5, colour, Align::Centre, &calls.to_string());
            }
        }
        y += ROW;
    }
    y + 4.0
}

/// From nearly white to the darkest.
fn shade(part: f32) -> Colour {
    let mix = |dark: u8| {
        let light = 246.0;
        // Between the two, so it fits.
        (light + (f32::from(dark) - light) * part.clamp(0.0, 1.0)) as u8
    };
    (mix(DARKEST.0), mix(DARKEST.1), mix(DARKEST.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bar_rises_above_the_scale() {
        for most in (0..=10_000).chain([123_456, u64::from(u32::MAX)]) {
            assert!(step_of(most) * 4 >= most, "{most}");
            assert!(most < 8 || step_of(most) * 4 <= most * 4, "{most}");
        }
    }
}
