//! What a search by text compares: one form for all ways to write the same name or number.
//!
//! | written | is compared as |
//! |---|---|
//! | `ﾀｶﾊｼ`, `タカハシ`, `たかはし` | `たかはし` |
//! | `ＳＭＩＴＨ`, `Smith` | `smith` |
//! | `髙橋`, `高橋` | `高橋` ([`VARIANTS`]) |
//! | `佐々木`, `佐佐木` | `佐佐木` |
//! | `㈱ﾐﾎﾝ`, `(株)ミホン`, `株式会社ミホン` | `株式会社みほん` |
//! | `シヨウジ`, `ショウジ` | `しようじ`: old systems have no small kana |
//! | `スーパー`, `ス－パ－` | `すーぱー` |
//! | spaces, dots, apostrophes, variation selectors | nothing |
//! | a number | its digits as written, as dialled in the country, and with the country code |
//!
//! Invariants: folding twice changes nothing. The operators' page folds in the same way (`desktop/src/text/fold.ts`), with
//! the table of this file. Changed rules need a migration that empties the columns `search` of customers, accounts and contacts.

use unicode_normalization::UnicodeNormalization as _;

use super::account::AccountFields;
use super::contact::ContactFields;
use super::customer::CustomerFields;
use crate::numbers::{Number, NumberPlan};

/// Separates the values of one record; folded text never contains it.
const END_OF_VALUE: char = '\n';
/// Fewest digits of a text that is compared with telephone numbers.
const NUMBER_DIGITS_MIN: usize = 2;

/// A text in the form in which it is compared.
#[must_use]
pub fn fold(text: &str) -> String {
    // The spacing forms of the sound marks do not combine.
    let marked = text.chars().map(|c| match c {
        '\u{309b}' => '\u{3099}',
        '\u{309c}' => '\u{309a}',
        other => other,
    });
    let normal: String = marked.nfkc().collect();
    let lower: String = normal.to_lowercase().nfkc().filter(|c| !is_left_out(*c)).collect();
    let lower = lower.replace("(株)", "株式会社").replace("(有)", "有限会社");
    let mut folded = String::with_capacity(lower.len());
    let mut before = None;
    for c in lower.chars() {
        let c = match c {
            '々' => before.unwrap_or(c),
            other => fold_char(other),
        };
        folded.push(c);
        before = Some(c);
    }
    // What was left out may have kept a sound mark from its character.
    folded.nfkc().collect()
}

/// The digits of a text that consists of nothing but a telephone number, or a part of one.
#[must_use]
pub fn fold_number(text: &str) -> Option<String> {
    let mut digits = String::new();
    for c in text.nfkc() {
        match c {
            '0'..='9' => digits.push(c),
            _ if c.is_whitespace() || is_dash(c) || matches!(c, '+' | '(' | ')' | '.' | '/' | '・') => {}
            _ => return None,
        }
    }
    (digits.len() >= NUMBER_DIGITS_MIN).then_some(digits)
}

/// What a search compares of a customer.
#[must_use]
pub(crate) fn search_text(fields: &CustomerFields, plan: &NumberPlan) -> String {
    let optional = [&fields.company, &fields.department, &fields.code];
    let texts = [&fields.name, &fields.kana].into_iter().chain(optional.into_iter().flatten());
    folded(texts, &fields.numbers, plan)
}

/// What a search compares of an account.
#[must_use]
pub(crate) fn account_search_text(fields: &AccountFields, plan: &NumberPlan) -> String {
    let numbers = fields.dialled.iter().chain(&fields.forwarding);
    folded([&fields.name, &fields.kana, &fields.code], numbers, plan)
}

/// What a search compares of a contact. A number that callers must not learn finds nobody: to be found would give it away.
#[must_use]
pub(crate) fn contact_search_text(fields: &ContactFields, plan: &NumberPlan) -> String {
    let number = fields.number.iter().filter(|_| !fields.do_not_tell);
    folded([&fields.name, &fields.kana, &fields.role], number, plan)
}

/// The texts and the numbers, each folded.
fn folded<'a>(
    texts: impl IntoIterator<Item = &'a String>,
    numbers: impl IntoIterator<Item = &'a String>,
    plan: &NumberPlan,
) -> String {
    let mut values: Vec<String> = texts.into_iter().map(|text| fold(text)).collect();
    for text in numbers {
        values.extend(fold_number(text));
        if let Some(number) = Number::read(text, plan) {
            values.extend([number.key(), &number.display()].into_iter().filter_map(fold_number));
        }
    }
    let mut unique: Vec<String> = Vec::with_capacity(values.len());
    for value in values {
        if !value.is_empty() && !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique.join(&END_OF_VALUE.to_string())
}

fn is_left_out(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '・' | '.' | ',' | '\'' | '\u{2019}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

fn is_dash(c: char) -> bool {
    matches!(c, '-' | 'ー' | '~' | '〜' | '\u{2010}'..='\u{2015}' | '−' | '─' | '━')
}

fn fold_char(c: char) -> char {
    let c = match c {
        'ァ'..='ヶ' | 'ヽ' | 'ヾ' => char::from_u32(c as u32 - 0x60).unwrap_or(c),
        _ if is_dash(c) => 'ー',
        _ => c,
    };
    match c {
        'ぁ' | 'ぃ' | 'ぅ' | 'ぇ' | 'ぉ' | 'っ' | 'ゃ' | 'ゅ' | 'ょ' | 'ゎ' => {
            char::from_u32(c as u32 + 1).unwrap_or(c)
        }
        'ゕ' => 'か',
        'ゖ' => 'け',
        // Most characters of Japanese texts are in no variant's range.
        '\u{4e00}'.. => VARIANTS
            .iter()
            .find_map(|(common, variants)| variants.contains(c).then_some(*common))
            .unwrap_or(c),
        _ => c,
    }
}

/// Characters of names, each with its variants: old forms, and forms that only names have.
#[rustfmt::skip]
pub const VARIANTS: &[(char, &str)] = &[
    ('高', "髙"), ('崎', "﨑嵜"), ('吉', "𠮷"), ('徳', "德"), ('浜', "濱濵"), ('辺', "邊邉"), ('斉', "齊斎齋"), ('沢', "澤"),
    ('広', "廣"), ('滝', "瀧"), ('桜', "櫻"), ('国', "國圀"), ('真', "眞"), ('円', "圓"), ('恵', "惠"), ('栄', "榮"),
    ('竜', "龍"), ('桧', "檜"), ('桑', "桒"), ('柳', "栁"), ('増', "增"), ('寛', "寬"), ('昇', "曻"), ('瀬', "瀨"),
    ('島', "嶋嶌"), ('峰', "峯"), ('岳', "嶽"), ('館', "舘"), ('関', "關"), ('沖', "冲"), ('篭', "籠"), ('薮', "藪"),
    ('芦', "蘆"), ('渕', "淵渊"), ('条', "條"), ('来', "來"), ('豊', "豐"), ('実', "實"), ('寿', "壽"), ('静', "靜"),
    ('晋', "晉"), ('尭', "堯"), ('亀', "龜"), ('曽', "曾"), ('槙', "槇"), ('遥', "遙"), ('黒', "黑"), ('緑', "綠"),
    ('清', "淸"), ('郎', "郞"), ('礼', "禮"), ('万', "萬"), ('与', "與"), ('乗', "乘"), ('亜', "亞"), ('仏', "佛"),
    ('仮', "假"), ('伝', "傳"), ('児', "兒"), ('処', "處"), ('剣', "劍劔釼"), ('勲', "勳"), ('勧', "勸"), ('区', "區"),
    ('単', "單"), ('厳', "嚴"), ('参', "參"), ('叙', "敍"), ('号', "號"), ('台', "臺"), ('塩', "鹽"), ('壮', "壯"),
    ('壱', "壹"), ('売', "賣"), ('変', "變"), ('奥', "奧"), ('奨', "獎"), ('嬢', "孃"), ('学', "學"), ('宝', "寶"),
    ('将', "將"), ('尽', "盡"), ('巌', "巖"), ('帯', "帶"), ('庁', "廳"), ('弁', "辨瓣辯"), ('弥', "彌"), ('弾', "彈"),
    ('当', "當"), ('径', "徑"), ('従', "從"), ('応', "應"), ('恒', "恆"), ('悦', "悅"), ('戸', "戶"), ('戦', "戰"),
    ('払', "拂"), ('抜', "拔"), ('拡', "擴"), ('挙', "擧"), ('摂', "攝"), ('撃', "擊"), ('数', "數"), ('断', "斷"),
    ('旧', "舊"), ('昼', "晝"), ('暁', "曉"), ('会', "會"), ('栃', "杤"), ('検', "檢"), ('楼', "樓"), ('楽', "樂"),
    ('横', "橫"), ('様', "樣"), ('権', "權"), ('歓', "歡"), ('歩', "步"), ('歳', "歲"), ('残', "殘"), ('毎', "每"),
    ('気', "氣"), ('浄', "淨"), ('涙', "淚"), ('済', "濟"), ('渋', "澁"), ('満', "滿"), ('湾', "灣"), ('温', "溫"),
    ('為', "爲"), ('焼', "燒"), ('独', "獨"), ('猪', "豬"), ('献', "獻"), ('瓶', "甁"), ('瑶', "瑤"), ('画', "畫"),
    ('畳', "疊"), ('県', "縣"), ('砺', "礪"), ('祢', "禰"), ('禅', "禪"), ('秋', "穐"), ('穂', "穗"), ('稲', "稻"),
    ('穣', "穰"), ('粋', "粹"), ('糸', "絲"), ('経', "經"), ('絵', "繪"), ('継', "繼"), ('続', "續"), ('総', "總"),
    ('縄', "繩"), ('縦', "縱"), ('繊', "纖"), ('聡', "聰"), ('声', "聲"), ('聴', "聽"), ('胆', "膽"), ('脳', "腦"),
    ('芸', "藝"), ('茎', "莖"), ('荘', "莊"), ('萌', "萠"), ('蔵', "藏"), ('薫', "薰"), ('薬', "藥"), ('虫', "蟲"),
    ('蛍', "螢"), ('覚', "覺"), ('観', "觀"), ('訳', "譯"), ('誉', "譽"), ('読', "讀"), ('謡', "謠"), ('讃', "讚"),
    ('軽', "輕"), ('遅', "遲"), ('郷', "鄕"), ('酔', "醉"), ('醸', "釀"), ('釈', "釋"), ('鉄', "鐵鉃"), ('鉱', "鑛"),
    ('銭', "錢"), ('鋳', "鑄"), ('錬', "鍊"), ('鎮', "鎭"), ('険', "險"), ('隠', "隱"), ('雑', "雜"), ('霊', "靈"),
    ('青', "靑"), ('頼', "賴"), ('頬', "頰"), ('顔', "顏"), ('顕', "顯"), ('飲', "飮"), ('駅', "驛"), ('駆', "驅"),
    ('験', "驗"), ('髪', "髮"), ('鴎', "鷗"), ('鴬', "鶯"), ('鶏', "鷄"), ('麦', "麥"), ('麹', "麴"), ('麺', "麵"),
    ('黄', "黃"), ('点', "點"), ('歯', "齒"), ('廃', "廢"), ('富', "冨"), ('船', "舩"), ('橋', "槗"), ('達', "逹"),
    ('曹', "曺"), ('凛', "凜"), ('弐', "貳"), ('磯', "礒"), ('浅', "淺"), ('園', "薗"), ('彦', "彥"), ('産', "產"),
    ('倶', "俱"), ('剥', "剝"), ('呑', "吞"), ('填', "塡"), ('屏', "屛"), ('掻', "搔"), ('掴', "摑"), ('痩', "瘦"),
    ('祷', "禱"), ('頴', "穎"), ('繋', "繫"), ('繍', "繡"), ('莱', "萊"), ('蒋', "蔣"), ('蝉', "蟬"), ('躯', "軀"),
    ('醤', "醬"), ('顛', "顚"), ('騨', "驒"),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::RecordId;

    #[test]
    fn ways_to_write_the_same_are_the_same() {
        for same in [
            &["ﾀｶﾊｼ", "タカハシ", "たかはし", "タカ ハシ", "ﾀｶ　ﾊｼ"][..],
            &["ｶﾞｷﾞ", "ガギ", "がぎ", "か\u{3099}き\u{3099}", "か゛き゛"],
            &["smith", "SMITH", "Ｓｍｉｔｈ"],
            &["高橋", "髙橋", "高槗", "髙\u{e0100}橋"],
            &["山崎", "山﨑", "山嵜"],
            &["佐々木", "佐佐木"],
            &["㈱ﾐﾎﾝ商会", "株式会社ミホン商会", "(株)みほん商会", "（株）ミホン 商会", "㍿ミホン商会"],
            &["㈲みなと", "有限会社ミナト"],
            &["ショウジ", "シヨウジ", "しょうじ", "ｼﾖｳｼﾞ"],
            &["スーパー", "ス－パ－", "ｽｰﾊﾟｰ", "スーパ―"],
            &["霞ヶ関", "霞ケ関"],
            &["Co., Ltd.", "co ltd"],
            &["①", "1"],
        ] {
            for text in same {
                assert_eq!(fold(text), fold(same[0]), "{text}");
            }
        }
        assert_ne!(fold("高橋"), fold("高梁"));
        assert_ne!(fold("は"), fold("ば"));
    }

    #[test]
    fn a_number_is_found_in_any_writing() {
        let plan = NumberPlan::default();
        let fields = CustomerFields {
            numbers: vec![
                "０９０－００００－０００１".into(),
                "+1 212-555-0100".into(),
                "+81 3 5555 0111".into(),
            ],
            code: Some("C-1".into()),
            ..CustomerFields::named(RecordId(uuid::Uuid::nil()), "髙橋")
        };
        let text = search_text(&fields, &plan);
        for wanted in [
            "09000000001",
            "090-0000-0001",
            "+81 90-0000-0001",
            "000-0001",
            "２１２－５５５",
            "+1 (212) 555 0100",
            "03-5555",
            "81355550111",
        ] {
            assert!(text.contains(&fold_number(wanted).unwrap()), "{wanted}: {text}");
        }
        assert!(text.contains(&fold("c-1")) && text.contains(&fold("高橋")));
        assert_eq!((fold_number("C-12"), fold_number("1"), fold_number("")), (None, None, None));
    }

    #[test]
    fn no_variant_stands_for_two_characters_or_is_the_common_form_of_another() {
        let mut seen = std::collections::HashSet::new();
        for (common, variants) in VARIANTS {
            for c in variants.chars().chain([*common]) {
                assert!(seen.insert(c), "{c} twice");
            }
        }
    }

    /// The table for the operators' page.
    fn page_table() -> String {
        let mut text = String::from(
            "// Made from src/contract/records/search.rs by `UPDATE_VARIANTS=1 cargo test --lib variants`; see fold.ts.\n\n\
             /** Characters of names: a common form, then its variants. */\n\
             export const VARIANTS: readonly string[] = [\n",
        );
        for line in VARIANTS.chunks(16) {
            let words: Vec<String> =
                line.iter().map(|(common, variants)| format!("'{common}{variants}'")).collect();
            writeln!(text, "  {},", words.join(", ")).unwrap();
        }
        text + "];\n"
    }

    #[test]
    fn the_page_knows_the_same_variants() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/desktop/src/text/variants.ts");
        if std::env::var_os("UPDATE_VARIANTS").is_some() {
            std::fs::write(path, page_table()).unwrap();
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(checked_in == page_table(), "the table changed: UPDATE_VARIANTS=1 cargo test --lib variants");
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,20}|[ぁ-ヿ゛゜々ー〜-龥㈱(株)ﾞｶ]{0,12}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once.clone());
            prop_assert!(!once.contains(END_OF_VALUE));
        }
    }
}
