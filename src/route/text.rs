//! A plan in one Japanese sentence: the line under the operator's form, and `toritsugi routes explain`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::document::Until;
use super::plan::{Plan, PlanStep, PlanTarget};
use super::resolve::{Note, Target, TargetKind};

/// The plan in one sentence.
#[must_use]
pub fn sentence(plan: &Plan, zone: &TimeZone) -> String {
    let Some(start) = plan.steps.first().map(|step| step.at) else {
        return "送信先がありません".to_owned();
    };
    let mut text = match &plan.digest {
        Some(name) => {
            let at = start.to_zoned(zone.clone()).strftime("%m/%d %H:%M").to_string();
            format!("{at} まとめ報告「{name}」で ")
        }
        None => String::new(),
    };
    let of_digest = text.len();
    let mut before: Option<&PlanStep> = None;
    for step in plan.steps.iter().filter(|step| !step.to.is_empty()) {
        if let Some(before) = before {
            text.push_str(&match (before.until, minutes(start, step.at)) {
                (Until::Acknowledged, minutes) => format!(" → {minutes}分で確認がなければ "),
                (Until::Sent | Until::Delivered, 0) => " → 届かなければ ".to_owned(),
                (Until::Sent | Until::Delivered, minutes) => format!(" → {minutes}分で届かなければ "),
            });
        }
        let people: Vec<String> = step.to.iter().map(|to| person(to, step.at, start, zone)).collect();
        text.push_str(&people.join("、"));
        if !step.also.is_empty() {
            let names: Vec<String> = step.also.iter().map(name).collect();
            text.push_str(&format!("(写し {})", names.join("、")));
        }
        before = Some(step);
    }
    if text.len() == of_digest {
        let why: Vec<String> = plan.steps.iter().flat_map(|step| &step.notes).map(note).collect();
        return format!("送信先がありません({})", why.join("、"));
    }
    text
}

fn person(to: &PlanTarget, step: Timestamp, start: Timestamp, zone: &TimeZone) -> String {
    let how = match to.target.kind {
        TargetKind::Mail => "メール",
        TargetKind::Chat => to.target.channel.label(),
        TargetKind::Sms => "SMS",
        TargetKind::Fax => "FAX",
        TargetKind::Phone => "電話",
        TargetKind::Taker | TargetKind::Supervisors => "通知",
    };
    let when = match to.target.not_before {
        Some(at) => format!("{} ", at.to_zoned(zone.clone()).strftime("%m/%d %H:%M")),
        None if to.at > step => format!("{}分後 ", minutes(start, to.at)),
        None => String::new(),
    };
    format!("{when}{}へ{how}", name(&to.target))
}

fn minutes(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_mins()
}

fn name(target: &Target) -> String {
    match target.kind {
        TargetKind::Supervisors => return "スーパーバイザー".to_owned(),
        TargetKind::Taker => return "受付者".to_owned(),
        TargetKind::Mail | TargetKind::Chat | TargetKind::Sms | TargetKind::Fax | TargetKind::Phone => {}
    }
    if target.name.is_empty() {
        return if target.label.is_empty() { "会社の宛先".to_owned() } else { target.label.clone() };
    }
    let label = if target.label.is_empty() { String::new() } else { format!("({})", target.label) };
    let instead = target.instead_of.as_ref().map(|name| format!("({name}様の代理)")).unwrap_or_default();
    format!("{}様{label}{instead}", target.name)
}

/// Why somebody is not reached.
pub(super) fn note(note: &Note) -> String {
    match note {
        Note::NobodyNamed => "ご指名の担当者がいません".to_owned(),
        Note::UnknownContact { contact } => format!("担当者コード{contact}がありません"),
        Note::UnknownEndpoint { endpoint } => format!("送付先コード{endpoint}がありません"),
        Note::AddressSuspended { name } if name.is_empty() => "会社の宛先が停止中です".to_owned(),
        Note::AddressSuspended { name } => format!("{name}の宛先が停止中です"),
        Note::Absent { name } => format!("{name}様は不在で代理がいません"),
        Note::NoAddress { name } => format!("{name}様の宛先がありません"),
        Note::NobodyOnCall => "呼出順に担当者がいません".to_owned(),
        Note::Closed => "時間外です".to_owned(),
        Note::NoMailServer => "メールサーバーの設定がありません".to_owned(),
    }
}
