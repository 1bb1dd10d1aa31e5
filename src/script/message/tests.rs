use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::*;
use crate::script::read;
use crate::script::read::SAMPLES;

fn facts() -> Facts {
    Facts::at("2026-11-30T02:00:00Z".parse().unwrap(), TimeZone::get("Asia/Tokyo").unwrap())
}

fn held(sample: usize, fields: Value) -> Result<MessageFields, MessageProblem> {
    let fields: MessageFields = serde_json::from_value(fields).unwrap();
    hold(&read(SAMPLES[sample].1).unwrap(), &facts(), fields, &NumberPlan::default())
}

fn visit() -> Value {
    json!({
        "text": "予約", "reason": "visit",
        "from": {"name": "サトウ", "number": "03-5550-1001"},
        "answers": [
            {"id": "birth", "label": "anything", "value": "1980/4/5", "sensitive": false},
            {"id": "first", "label": "x", "value": "no"},
            {"id": "wish", "label": "x", "value": "2026-12-01T10:00"},
            {"id": "signs", "label": "x", "value": "腫れ"},
        ],
    })
}

#[test]
fn the_script_decides_label_form_and_sensitivity() {
    let kept = held(0, visit()).unwrap();
    let answers: Vec<_> = kept
        .answers
        .iter()
        .map(|a| (a.id.as_str(), a.label.as_str(), a.value.as_str(), a.sensitive))
        .collect();
    let expected = [
        ("birth", "生年月日", "1980-04-05", true),
        ("first", "はじめて", "no", false),
        ("wish", "ご希望", "2026-12-01 10:00", false),
    ];
    assert_eq!(answers, expected, "the answer to a question of another reason is dropped");
    assert_eq!(held(0, serde_json::to_value(&kept).unwrap()), Ok(kept), "holding it again changes nothing");
}

#[test]
fn what_must_be_asked_was_asked() {
    let mut fields = visit();
    fields["from"]["number"] = Value::Null;
    fields["answers"][2]["value"] = json!("いつでも");
    let Err(MessageProblem::Incomplete(missing)) = held(0, fields) else { panic!("it is incomplete") };
    let missing: Vec<_> = missing.iter().map(|m| (m.id.as_str(), m.problem.is_some())).collect();
    assert_eq!(missing, [("phone", false), ("wish", true)], "the card may be skipped");
}

#[test]
fn what_the_script_does_not_have_is_refused() {
    for (name, value) in [
        ("reason", json!("order")),
        ("answers", json!([{"id": "nothing", "label": "x", "value": "x"}])),
        ("answers", json!([{"id": "name", "label": "x", "value": "x"}])),
        ("offers", json!([{"id": "teapot", "result": "accepted"}])),
    ] {
        let mut fields = visit();
        fields[name] = value.clone();
        let Err(MessageProblem::Unknown(why)) = held(0, fields) else { panic!("{name} {value}") };
        assert!(why.starts_with(name), "{why}");
    }
}

#[test]
fn several_choices_and_the_fields_of_the_message_are_answers() {
    let fields = json!({
        "text": "痛い", "reason": "pain",
        "from": {"name": "サトウ", "number": "03-5550-1001"},
        "answers": [
            {"id": "signs", "label": "x", "value": "腫れ、発熱"},
            {"id": "birth", "label": "x", "value": "1980-04-05"},
        ],
    });
    let kept = held(0, fields).unwrap();
    assert_eq!(kept.answers[0].value, "発熱、腫れ");
    let script = read(SAMPLES[1].1).unwrap();
    let fields = json!({
        "text": "x", "from": {"gender": "f"}, "for_text": "柳先生", "call_back": {"until": "2026-12-01T01:30:00Z"},
    });
    let answers = answers_of(&script, &serde_json::from_value(fields).unwrap(), &facts());
    let value = |id: &str| answers.values[id].first().map(String::as_str);
    assert_eq!(
        (value("gender"), value("lawyer"), value("due")),
        (Some("女性"), Some("柳先生"), Some("2026-12-01 10:30"))
    );
}
