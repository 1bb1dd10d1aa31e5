//! `toritsugi words`: what operators choose from: dispositions, not-ready reasons, reasons of messages, flags of customers.
//!
//! Invariant: a list is written in the version that was read, so what somebody else changed meanwhile is never lost; nothing is
//! deleted, a word is retired.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use toritsugi::contract::words::{Tone, Word, WordKind};

use super::Global;
use super::client::{Client, ClientArgs};
use super::output::{Output, Table, plain, print, print_json, print_line};

const PATH: &str = "/v1/words";
/// What `set` changes.
const FIELDS: &str = "label, label_en, tone, retired, no_message, position";

/// Which list a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Of {
    Dispositions,
    NotReadyReasons,
    MessageReasons,
    Flags,
}

#[derive(Debug, Args)]
pub(super) struct Words {
    #[command(subcommand)]
    command: WordsCommand,
}

#[derive(Debug, Subcommand)]
enum WordsCommand {
    /// List the words that operators choose from, in their order, with those that are retired.
    List(List),
    /// Show one word with all its fields.
    Show(Show),
    /// Change a word, or add one: with a label, its code is new.
    Set(Set),
}

#[derive(Debug, Args)]
struct List {
    /// The list; all of them if absent
    list: Option<Of>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Show {
    /// The list
    list: Of,
    /// The code of the word
    code: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Set {
    /// The list
    list: Of,
    /// The code of the word
    code: String,
    /// What becomes of its fields: label, label_en, tone (plain, good, warn, bad), retired and no_message (yes, no), position (1 is
    /// first). An empty label_en removes it
    #[arg(required = true, value_name = "FIELD=VALUE")]
    changes: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The lists, as the daemon answers.
#[derive(Debug, serde::Deserialize)]
struct Lists {
    items: Vec<WordList>,
}

#[derive(Debug, Clone, Serialize, serde::Deserialize)]
struct WordList {
    kind: WordKind,
    version: u64,
    words: Vec<Word>,
}

#[derive(Debug, Serialize)]
struct Write<'a> {
    version: u64,
    words: &'a [Word],
}

impl Of {
    const ALL: [Self; 4] = [Self::Dispositions, Self::NotReadyReasons, Self::MessageReasons, Self::Flags];

    fn kind(self) -> WordKind {
        match self {
            Self::Dispositions => WordKind::Disposition,
            Self::NotReadyReasons => WordKind::NotReadyReason,
            Self::MessageReasons => WordKind::MessageReason,
            Self::Flags => WordKind::Flag,
        }
    }

    /// As it is written on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Dispositions => "dispositions",
            Self::NotReadyReasons => "not-ready-reasons",
            Self::MessageReasons => "message-reasons",
            Self::Flags => "flags",
        }
    }

    async fn read(self, client: &Client) -> anyhow::Result<WordList> {
        let lists: Lists = client.get(PATH, &[]).await?;
        let found = lists.items.into_iter().find(|list| list.kind == self.kind());
        Ok(found.unwrap_or(WordList { kind: self.kind(), version: 0, words: Vec::new() }))
    }
}

impl Words {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            WordsCommand::List(list) => list.run(global).await?,
            WordsCommand::Show(show) => show.run(global).await?,
            WordsCommand::Set(set) => set.run(global).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let lists: Lists = self.client.client(global)?.get(PATH, &[]).await?;
        let kinds: Vec<Of> =
            Of::ALL.into_iter().filter(|of| self.list.is_none_or(|list| list == *of)).collect();
        let mut shown = Vec::new();
        for of in &kinds {
            shown.extend(lists.items.iter().filter(|list| list.kind == of.kind()).cloned());
        }
        if self.output.json {
            return print_json(&shown);
        }
        let mut table = Table::new(["LIST", "CODE", "LABEL", "ENGLISH", "TONE", "NO MESSAGE", "RETIRED"]);
        for of in kinds {
            for word in shown.iter().filter(|list| list.kind == of.kind()).flat_map(|list| &list.words) {
                table.row([
                    of.name(),
                    &word.code,
                    &word.label,
                    word.label_en.as_deref().unwrap_or("-"),
                    tone_name(word.tone),
                    mark(word.no_message == Some(true)),
                    mark(word.retired),
                ]);
            }
        }
        Ok(print(&table.render())?)
    }
}

fn mark(is: bool) -> &'static str {
    if is { "yes" } else { "-" }
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let list = self.list.read(&self.client.client(global)?).await?;
        match list.words.iter().find(|word| word.code == self.code) {
            Some(word) => show(word, self.output),
            None => bail!("{}", no_word(self.list, &self.code)),
        }
    }
}

fn no_word(list: Of, code: &str) -> String {
    let (list, code) = (list.name(), plain(code));
    format!("{list} have no word {code:?}; `toritsugi words list {list}` prints them")
}

fn show(word: &Word, output: Output) -> anyhow::Result<()> {
    if output.json {
        return print_json(word);
    }
    let yes = |is: bool| if is { "yes" } else { "no" };
    for (field, value) in [
        ("code", word.code.as_str()),
        ("label", &word.label),
        ("label_en", word.label_en.as_deref().unwrap_or_default()),
        ("tone", tone_name(word.tone)),
        ("retired", yes(word.retired)),
        ("no_message", word.no_message.map(yes).unwrap_or_default()),
    ] {
        print_line(format!("{field:<20}{}", plain(value)).trim_end())?;
    }
    Ok(())
}

impl Set {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let mut list = self.list.read(&client).await?;
        let at = match list.words.iter().position(|word| word.code == self.code) {
            Some(at) => at,
            None if self.changes.iter().any(|change| change.starts_with("label=")) => {
                list.words.push(Word {
                    code: self.code.as_str().into(),
                    label: "".into(),
                    label_en: None,
                    tone: Tone::Plain,
                    retired: false,
                    no_message: None,
                });
                list.words.len() - 1
            }
            None => bail!("{}; label=… adds one", no_word(self.list, &self.code)),
        };
        let mut word = list.words.remove(at);
        let mut position = at;
        for change in &self.changes {
            let Some((field, value)) = change.split_once('=') else {
                bail!("{change:?} is not a change: write FIELD=VALUE, for instance label=…");
            };
            if field == "position" {
                match value.parse::<usize>() {
                    Ok(place) if place > 0 => position = (place - 1).min(list.words.len()),
                    _ => bail!("{field}={value}: write a whole number from 1"),
                }
            } else {
                set(&mut word, field, value)?;
            }
        }
        list.words.insert(position, word);
        let written = Write { version: list.version, words: &list.words };
        let list: WordList = client.put(&format!("{PATH}/{}", list.kind.as_str()), &written).await?;
        match list.words.iter().find(|word| word.code == self.code.trim()) {
            Some(word) => show(word, self.output),
            None => Ok(()),
        }
    }
}

/// Changes a field of a word.
fn set(word: &mut Word, field: &str, value: &str) -> anyhow::Result<()> {
    let yes_or_no = || match value {
        "yes" | "true" | "はい" => Ok(true),
        "no" | "false" | "いいえ" => Ok(false),
        _ => Err(anyhow::anyhow!("{field}={value}: write yes or no")),
    };
    match field {
        "label" => word.label = value.into(),
        "label_en" => word.label_en = Some(value.into()).filter(|_| !value.is_empty()),
        "retired" => word.retired = yes_or_no()?,
        "no_message" => word.no_message = Some(yes_or_no()?),
        "tone" => match TONES.iter().find(|(_, name)| *name == value) {
            Some((tone, _)) => word.tone = *tone,
            None => bail!("{field}={value}: write plain, good, warn or bad"),
        },
        _ => bail!("a word has no field {field:?} to set; it has {FIELDS}"),
    }
    Ok(())
}

const TONES: [(Tone, &str); 4] =
    [(Tone::Plain, "plain"), (Tone::Good, "good"), (Tone::Warn, "warn"), (Tone::Bad, "bad")];

fn tone_name(tone: Tone) -> &'static str {
    TONES.iter().find(|(known, _)| *known == tone).map_or("plain", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn each_list_has_the_name_that_the_command_line_takes() {
        assert_eq!(Of::ALL.len(), WordKind::ALL.len());
        for of in Of::ALL {
            assert_eq!(Of::from_str(of.name(), false), Ok(of));
        }
    }

    #[test]
    fn fields_are_set_one_by_one_and_a_wrong_one_is_named() {
        let mut word = Word::of(&"sales:営業".parse().unwrap());
        for (field, value) in
            [("label", "営業電話"), ("label_en", "Sales"), ("tone", "bad"), ("no_message", "はい")]
        {
            set(&mut word, field, value).unwrap();
        }
        assert_eq!((word.label.as_str(), word.tone, word.no_message), ("営業電話", Tone::Bad, Some(true)));
        set(&mut word, "label_en", "").unwrap();
        assert_eq!(word.label_en, None);
        for (field, value) in [("tone", "blue"), ("retired", "maybe"), ("code", "x")] {
            assert!(set(&mut word, field, value).unwrap_err().to_string().contains(field), "{field}");
        }
    }
}
