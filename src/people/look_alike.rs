//! Which names look the same: nobody is to be taken for somebody else by a name that only a machine can tell apart.
//!
//! Two names look the same if they are equal in one of two forms: without case, as if all were small letters; or as they are
//! written, where `l`, `I`, `1` and `|` are one sign, and `O` and `0` are. In both forms full-width, half-width and styled
//! characters are the plain ones (NFKC), and a letter of another script is the Latin one whose shape it has.
//!
//! Invariant: names of people that differ in a kanji stay different (`高橋` and `髙橋` are two families). Of kanji only those
//! fold that a katakana cannot be told from (`力` and `カ`).

use unicode_normalization::UnicodeNormalization as _;

/// Letters that have the shape of a Latin letter of the same case.
const SHAPES: [(char, &str); 44] = [
    ('A', "АΑ"),
    ('B', "ВΒ"),
    ('C', "СϹ"),
    ('E', "ЕΕ"),
    ('G', "Ԍ"),
    ('H', "НΗ"),
    ('I', "ІΙӀ"),
    ('J', "Ј"),
    ('K', "КΚ"),
    ('M', "МΜ"),
    ('N', "Ν"),
    ('O', "ОΟՕ"),
    ('P', "РΡ"),
    ('S', "ЅՏ"),
    ('T', "ТΤ"),
    ('V', "Ѵ"),
    ('W', "Ԝ"),
    ('X', "ХΧ"),
    ('Y', "УΥҮ"),
    ('Z', "Ζ"),
    ('a', "аɑα"),
    ('c', "сϲ"),
    ('d', "ԁ"),
    ('e', "е"),
    ('g', "ɡ"),
    ('h', "һ"),
    ('i', "іıι"),
    ('j', "ј"),
    ('k', "кκ"),
    ('l', "ӏǀ"),
    ('m', "м"),
    ('n', "ո"),
    ('o', "оοօ"),
    ('p', "рρ"),
    ('q', "ԛ"),
    ('r', "г"),
    ('s', "ѕ"),
    ('t', "тτ"),
    ('u', "ս"),
    ('v', "ѵν"),
    ('w', "ԝ"),
    ('x', "хχ"),
    ('y', "уγ"),
    ('-', "‐‑‒–—―−ー一"),
];
/// Kana and kanji that cannot be told apart.
const KANA: [(char, char); 11] = [
    ('へ', 'ヘ'),
    ('べ', 'ベ'),
    ('ぺ', 'ペ'),
    ('力', 'カ'),
    ('口', 'ロ'),
    ('二', 'ニ'),
    ('八', 'ハ'),
    ('工', 'エ'),
    ('夕', 'タ'),
    ('卜', 'ト'),
    ('才', 'オ'),
];

/// Whether a person could take one name for the other. A name looks like itself.
#[must_use]
pub fn look_alike(one: &str, other: &str) -> bool {
    without_case(one) == without_case(other) || as_written(one) == as_written(other)
}

fn without_case(name: &str) -> String {
    plain(name).flat_map(char::to_lowercase).collect()
}

fn as_written(name: &str) -> String {
    let sign = |letter| match letter {
        'I' | '1' | '|' => 'l',
        '0' => 'O',
        other => other,
    };
    plain(name).map(sign).collect()
}

/// The letters in their plain form, without white space, which nobody counts.
fn plain(name: &str) -> impl Iterator<Item = char> {
    name.nfkc().filter(|letter| !letter.is_whitespace()).map(|letter| {
        let shape = SHAPES.iter().find(|(_, others)| others.contains(letter)).map(|(latin, _)| *latin);
        let kana = KANA.iter().find(|(other, _)| *other == letter).map(|(_, kana)| *kana);
        shape.or(kana).unwrap_or(letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_cannot_tell_apart_looks_alike() {
        for (one, other) in [
            ("admin", "admin"),
            ("admin", "Ａｄｍｉｎ"),
            ("admin", "ADMIN"),
            // Cyrillic а, і; Greek ο; styled letters; a dotless i.
            ("admin", "аdmin"),
            ("admin", "admіn"),
            ("operator", "οperatοr"),
            ("admin", "𝐚𝐝𝐦𝐢𝐧"),
            ("admin", "admın"),
            // Capitals of another script.
            ("HELP", "НЕLР"),
            ("crml", "crm1"),
            ("crmI", "crm1"),
            ("SOS", "S0S"),
            ("op-1", "op–1"),
            ("サトウ", "ｻﾄｳ"),
            ("佐藤 花子", "佐藤　花子"),
            ("佐藤 花子", "佐藤花子"),
            ("カトウ", "力卜ウ"),
            ("ニノミヤ", "二ノミヤ"),
            ("サトー", "サト一"),
            ("１００１", "1001"),
        ] {
            assert!(look_alike(one, other) && look_alike(other, one), "{one} {other}");
        }
    }

    #[test]
    fn names_of_different_people_do_not() {
        for (one, other) in [
            ("佐藤", "鈴木"),
            ("高橋", "髙橋"),
            ("斎藤", "齋藤"),
            ("佐藤 花子", "佐藤 華子"),
            ("mai", "mal"),
            ("admin", "admin2"),
            ("1001", "1002"),
            ("サトウ", "さとう"),
            ("ハナ", "バナ"),
        ] {
            assert!(!look_alike(one, other), "{one} {other}");
        }
    }
}
