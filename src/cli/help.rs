//! What `--help`, the manual pages and the errors of the command line say: groups, examples, and all of it in Japanese where
//! the terminal's language is Japanese.
//!
//! [`COMMANDS`] in `help/commands.rs` has one row for each command: its Japanese sentence and its examples. [`GROUPS`] is the
//! order of the first page. Texts of options are translated by `language.rs`.
//!
//! Invariants: each example is a command line that parses; each command has a row (both tested). An error is one line that
//! begins with `toritsugi:`, for a wrong command line followed by its usage.

mod commands;

use std::io::IsTerminal as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use self::commands::{COMMANDS, GROUPS};
use super::language::{Language, language, translated};
use super::output;

/// The command line as it is parsed and described, in the language of the terminal.
pub(super) fn describe(command: Command) -> Command {
    describe_in(command, language())
}

fn describe_in(mut command: Command, language: Language) -> Command {
    command.build();
    let top = first_page(&command, language);
    describe_one(command, "", language).help_template(top)
}

/// The row of a command, by its words without the program's name.
fn row(path: &str) -> Option<&'static commands::Row> {
    COMMANDS.iter().find(|row| row.path == path)
}

fn describe_one(command: Command, path: &str, language: Language) -> Command {
    let found = row(path);
    let has_subcommands = command.has_subcommands();
    let mut command = command.mut_args(|arg| describe_arg(arg, language));
    if language == Language::Ja {
        if let Some(row) = found {
            command = command.about(row.japanese).long_about(None::<&str>);
        }
        command = command
            .subcommand_help_heading("コマンド")
            .help_template("{about-with-newline}\n使い方: {usage}\n\n{all-args}{after-help}");
    }
    if let Some(row) = found
        && !row.examples.is_empty()
    {
        command = command.after_help(examples(row.examples, language));
    }
    if !has_subcommands {
        return command;
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |sub| describe_one(sub, &path, language));
    }
    command
}

fn describe_arg(arg: Arg, language: Language) -> Arg {
    if language == Language::En {
        return arg;
    }
    let heading = if arg.is_positional() { "引数" } else { "オプション" };
    let help = arg.get_help().map(|help| translated(&help.to_string()).into_owned());
    let arg = arg.help_heading(heading);
    match help {
        Some(help) => arg.help(help).long_help(None::<&str>),
        None => arg,
    }
}

fn examples(lines: &[&str], language: Language) -> String {
    let heading = match language {
        Language::En => "Examples:",
        Language::Ja => "例:",
    };
    lines.iter().fold(heading.to_owned(), |text, line| format!("{text}\n  {line}"))
}

/// The first page: the commands in groups, each with its sentence.
fn first_page(command: &Command, language: Language) -> String {
    let is_japanese = language == Language::Ja;
    let width = command.get_subcommands().map(|sub| sub.get_name().len()).max().unwrap_or(0) + 2;
    let mut text = String::from("{about-with-newline}\n");
    text.push_str(if is_japanese { "使い方: {usage}\n" } else { "{usage-heading} {usage}\n" });
    for (english, japanese, names) in GROUPS {
        text.push_str(&format!("\n{}:\n", if is_japanese { japanese } else { english }));
        for name in *names {
            let Some(sub) = command.find_subcommand(name) else { continue };
            let english = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let sentence = match row(name) {
                Some(row) if is_japanese => row.japanese.to_owned(),
                _ => english,
            };
            text.push_str(&format!("  {name:<width$}{sentence}\n"));
        }
    }
    let options = if is_japanese { "オプション" } else { "Options" };
    let more = if is_japanese {
        "`toritsugi help コマンド` は、そのコマンドの引数と例を示します。\n"
    } else {
        "`toritsugi help COMMAND` shows the arguments and examples of a command.\n"
    };
    text + &format!("\n{options}:\n{{options}}\n\n{more}")
}

/// Prints an error of the command line, or the help that was asked for, and returns the exit code.
pub(super) fn end(error: &clap::Error) -> u8 {
    if !error.use_stderr() {
        // A closed pipe ends the output early; that is not a failure.
        let _ = error.print();
        return 0;
    }
    // Where no command is given, the help is the error.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return 2;
    }
    let text = match language() {
        Language::Ja => japanese_error(error),
        Language::En => {
            let text = error.render().to_string();
            text.strip_prefix("error: ").unwrap_or(&text).to_owned()
        }
    };
    output::print_error_lines(&format!("toritsugi: {}", text.trim_end()), std::io::stderr().is_terminal());
    2
}

/// What is wrong with a command line, in Japanese.
fn japanese_error(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join("、")),
        Some(ContextValue::StyledStr(text)) => Some(text.to_string()),
        _ => None,
    };
    let arg = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let mut lines = vec![match error.kind() {
        ErrorKind::UnknownArgument => format!("知らない引数です: {arg}"),
        ErrorKind::InvalidSubcommand => {
            format!("知らないコマンドです: {}", text(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::MissingRequiredArgument => format!("足りません: {arg}"),
        ErrorKind::MissingSubcommand => "コマンドが足りません".to_owned(),
        ErrorKind::ArgumentConflict => format!("一緒には使えません: {arg}"),
        ErrorKind::InvalidValue if value.is_empty() => format!("値が足りません: {arg}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::TooManyValues => {
            let why = std::error::Error::source(error).map(|why| translated(&why.to_string()).into_owned());
            format!(
                "{arg} の値が正しくありません: {value}{}",
                why.map(|why| format!("（{why}）")).unwrap_or_default()
            )
        }
        _ => {
            let text = error.render().to_string();
            text.strip_prefix("error: ").unwrap_or(&text).to_owned()
        }
    }];
    lines.extend(text(ContextKind::ValidValue).map(|values| format!("  書ける値: {values}")));
    let suggested =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    lines.extend(suggested.into_iter().filter_map(text).map(|close| format!("  もしかして: {close}")));
    if let Some(usage) = text(ContextKind::Usage) {
        lines.push(String::new());
        lines.push(usage.replace("Usage:", "使い方:"));
    }
    lines.push(String::new());
    lines.push("詳しくは --help を付けてください。".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::super::Cli;
    use super::*;

    /// The words of each command that has a help text of its own.
    fn paths(command: &Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name()).trim().to_owned();
            paths(sub, &path, found);
            found.push(path);
        }
    }

    fn all_paths() -> Vec<String> {
        let mut command = Cli::command();
        command.build();
        let mut found = Vec::new();
        paths(&command, "", &mut found);
        found
    }

    /// The words of an example, up to a pipe or a redirection.
    fn words(example: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in example.chars().chain([' ']) {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), c) => word.get_or_insert_default().push(c),
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, '|' | '>' | '<') => break,
                (None, ' ') => words.extend(word.take()),
                (None, c) => word.get_or_insert_default().push(c),
            }
        }
        words
    }

    #[test]
    fn each_command_has_a_row_and_each_row_a_command() {
        let known: BTreeSet<String> = all_paths().into_iter().collect();
        let rows: BTreeSet<String> =
            COMMANDS.iter().map(|row| row.path.to_owned()).filter(|path| !path.is_empty()).collect();
        assert_eq!(known.difference(&rows).collect::<Vec<_>>(), Vec::<&String>::new(), "no row");
        assert_eq!(rows.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "no command");
        let listed: Vec<&str> = GROUPS.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
        let top: BTreeSet<&str> =
            known.iter().map(String::as_str).filter(|path| !path.contains(' ')).collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), top);
        assert_eq!(listed.len(), top.len(), "a command is in one group only");
    }

    #[test]
    fn each_command_has_an_example_of_itself_that_parses() {
        for row in COMMANDS.iter().filter(|row| !row.path.is_empty()) {
            let command: Vec<&str> = row.path.split(' ').collect();
            let is_group = Cli::command()
                .find_subcommand(command[0])
                .is_some_and(|sub| command.len() == 1 && sub.is_subcommand_required_set());
            assert!(is_group || !row.examples.is_empty(), "{} has no example", row.path);
            for example in row.examples {
                let words = words(example);
                let at = words.iter().position(|word| word == "toritsugi").unwrap();
                assert!(
                    words[at + 1..].starts_with(&command.iter().map(|&w| w.to_owned()).collect::<Vec<_>>()),
                    "{example}"
                );
                let parsed = describe_in(Cli::command(), Language::En).try_get_matches_from(&words[at..]);
                let parsed = parsed.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn each_option_has_a_japanese_text() {
        fn untranslated(command: &Command, path: &str, missing: &mut BTreeSet<String>) {
            let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for help in shown.filter_map(Arg::get_help) {
                let help = help.to_string();
                if translated(&help) == help {
                    missing.insert(format!("{path}: {help}"));
                }
            }
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
            {
                untranslated(sub, &format!("{path} {}", sub.get_name()), missing);
            }
        }
        let mut command = Cli::command();
        command.build();
        let mut missing = BTreeSet::new();
        untranslated(&command, "toritsugi", &mut missing);
        assert!(missing.is_empty(), "add to language/ja.txt: {missing:#?}");
    }

    #[test]
    fn the_japanese_help_has_no_english_headings() {
        let mut command = describe_in(Cli::command(), Language::Ja);
        let first = command.render_help().to_string();
        for word in ["使い方:", "見る:", "オプション:", "デーモンを動かします"] {
            assert!(first.contains(word), "{word} is not in {first}");
        }
        let add =
            command.find_subcommand_mut("user").and_then(|user| user.find_subcommand_mut("add")).unwrap();
        let help = add.render_help().to_string();
        assert!(help.contains("例:\n  toritsugi user add"), "{help}");
        for heading in ["Usage:", "Options:", "Commands:", "Arguments:", "Examples:"] {
            assert!(!first.contains(heading) && !help.contains(heading), "{heading}: {help}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_explained_in_japanese() {
        for (arguments, says) in [
            (&["toritsugi", "user", "ad"][..], "知らないコマンドです: ad"),
            (&["toritsugi", "check", "--nope"], "知らない引数です: --nope"),
            (&["toritsugi", "user", "add"], "足りません: "),
            (&["toritsugi", "history", "--from", "someday"], "--from <TIME> の値が正しくありません: someday"),
        ] {
            let error =
                describe_in(Cli::command(), Language::Ja).try_get_matches_from(arguments).unwrap_err();
            let text = japanese_error(&error);
            assert!(text.starts_with(says), "{text}");
            assert!(text.ends_with("--help を付けてください。"), "{text}");
        }
    }
}
