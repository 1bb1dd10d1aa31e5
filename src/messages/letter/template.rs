//! The templates of mails: text with fields (minijinja), the built-in ones and those that an account wrote itself.
//!
//! | template | makes |
//! |---|---|
//! | `subject` | the subject; only its first line counts |
//! | `text` | the text |
//! | `html` | the HTML part; values are escaped |
//! | `digest_subject`, `digest_text` | the subject and the text of a digest |
//!
//! A template of an account that fails for a message (it names a field that there is not, loops, or writes too much) is left out, and
//! the built-in one is used: a message is never lost for its form.
//!
//! Invariant: rendering ends after [`FUEL`] steps and [`OUTPUT_BYTES_MAX`] bytes. A template reads no file and no other template.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::contract::records::Language;
use crate::ids::RecordId;

/// Steps that a template may take.
pub const FUEL: u64 = 50_000;
/// Most bytes that a template writes.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 20 * 1024;

/// A template of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = MailTemplateName)]
#[serde(rename_all = "snake_case")]
pub enum TemplateName {
    /// The subject.
    Subject,
    /// The text.
    Text,
    /// The HTML part.
    Html,
    /// The subject of a digest.
    DigestSubject,
    /// The text of a digest.
    DigestText,
    /// The text in a chat, below its title.
    ChatText,
    /// The line of an SMS, above the link.
    SmsText,
    /// The text of a fax, below the company's name and the title.
    FaxText,
}

impl TemplateName {
    /// All templates.
    pub const ALL: [Self; 8] = [
        Self::Subject,
        Self::Text,
        Self::Html,
        Self::DigestSubject,
        Self::DigestText,
        Self::ChatText,
        Self::SmsText,
        Self::FaxText,
    ];

    /// The value in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "html",
            Self::DigestSubject => "digest_subject",
            Self::DigestText => "digest_text",
            Self::ChatText => "chat_text",
            Self::SmsText => "sms_text",
            Self::FaxText => "fax_text",
        }
    }

    /// The template with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// The built-in template in a language.
    #[must_use]
    pub fn built_in(self, language: Language) -> &'static str {
        match self {
            Self::Subject => language.say(include_str!("subject.j2"), include_str!("subject.en.j2")),
            Self::Text => language.say(include_str!("text.j2"), include_str!("text.en.j2")),
            Self::Html => language.say(include_str!("html.j2"), include_str!("html.en.j2")),
            Self::DigestSubject => {
                language.say(include_str!("digest_subject.j2"), include_str!("digest_subject.en.j2"))
            }
            Self::DigestText => {
                language.say(include_str!("digest_text.j2"), include_str!("digest_text.en.j2"))
            }
            Self::ChatText | Self::FaxText => {
                language.say(include_str!("chat_text.j2"), include_str!("chat_text.en.j2"))
            }
            Self::SmsText => language.say(include_str!("sms_text.j2"), include_str!("sms_text.en.j2")),
        }
    }

    /// Whether it is a template of digests.
    #[must_use]
    pub fn is_of_digest(self) -> bool {
        matches!(self, Self::DigestSubject | Self::DigestText)
    }

    /// Whether it writes plain text for what is no mail of its own form: a chat, an SMS, a fax.
    #[must_use]
    pub fn is_short(self) -> bool {
        matches!(self, Self::ChatText | Self::SmsText | Self::FaxText)
    }
}

/// Why a template makes no mail, with the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TemplateError {
    /// The line, from 1; 0 if the engine names none.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl TemplateError {
    /// Logs that this template of an account failed for a message, and that the built-in one was used.
    pub fn log(&self, account: RecordId, name: TemplateName) {
        let (name, error) = (name.as_str(), self);
        tracing::warn!(%account, name, %error, "a template of an account failed; the built-in one was used");
    }
}

/// The engine.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

impl Default for Templates {
    fn default() -> Self {
        let mut environment = Environment::new();
        let syntax =
            SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        // The usual delimiters are valid.
        environment.set_syntax(syntax.unwrap_or_default());
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|name| {
            if name == TemplateName::Html.as_str() { AutoEscape::Html } else { AutoEscape::None }
        });
        environment.add_filter("sama", |name: String| super::polite(&name));
        environment.add_filter("lines", |text: String, count: usize| {
            text.lines().take(count).collect::<Vec<_>>().join("\n")
        });
        Self(environment)
    }
}

impl Templates {
    /// What `source` writes with `values`.
    ///
    /// # Errors
    /// The template is wrong, or stopped by a limit.
    pub fn render(&self, name: TemplateName, source: &str, values: &Value) -> Result<String, TemplateError> {
        let template =
            self.0.template_from_named_str(name.as_str(), source).map_err(|error| problem(&error))?;
        let mut output = Limited(Vec::new());
        template.render_captured_to(values.clone(), &mut output).map_err(|error| problem(&error))?;
        String::from_utf8(output.0)
            .map_err(|_| TemplateError { line: 0, problem: "it wrote half of a character".into() })
    }
}

impl Templates {
    /// What a template writes: the account's own among `own` where it works, else the built-in one; why the own one did not goes to
    /// `failed`.
    pub(super) fn write(
        &self,
        (name, language): (TemplateName, Language),
        own: &[(String, String)],
        values: &Value,
        failed: &mut Vec<(TemplateName, TemplateError)>,
    ) -> String {
        if let Some((_, source)) = own.iter().find(|(own, _)| own == name.as_str()) {
            match self.render(name, source, values) {
                Ok(written) if !written.trim().is_empty() => return written,
                Ok(_) => failed.push((name, TemplateError { line: 0, problem: "it writes nothing".into() })),
                Err(error) => failed.push((name, error)),
            }
        }
        // A test renders each built-in template with every sample.
        self.render(name, name.built_in(language), values).unwrap_or_default()
    }
}

/// Takes up to [`OUTPUT_BYTES_MAX`] bytes.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other(format!("it writes more than {OUTPUT_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn problem(error: &minijinja::Error) -> TemplateError {
    let mut problem = error.kind().to_string();
    if let Some(detail) = error.detail() {
        problem = format!("{problem}: {detail}");
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        problem = format!("{problem}: {inner}");
        cause = inner.source();
    }
    TemplateError { line: error.line().unwrap_or(0), problem }
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;

    use super::*;

    fn rendered(name: TemplateName, source: &str) -> Result<String, String> {
        let values = Value::from(Serde(serde_json::json!({"who": "<b>ヤマモト & 様", "lines": "a\nb\nc"})));
        Templates::default().render(name, source, &values).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_writes_values_and_escapes_them_in_html_alone() {
        assert_eq!(rendered(TemplateName::Text, "{{ who }}\n").unwrap(), "<b>ヤマモト & 様\n");
        assert_eq!(rendered(TemplateName::Html, "{{ who }}").unwrap(), "&lt;b&gt;ヤマモト &amp; 様");
        assert_eq!(
            rendered(TemplateName::Text, "{{ who | sama }} {{ lines | lines(2) }}").unwrap(),
            "<b>ヤマモト & 様 a\nb"
        );
    }

    #[test]
    fn a_template_that_cannot_work_says_the_line_and_why() {
        for (source, words) in [
            ("a\n{% if x %}", "line 2: "),
            ("{{ nobody }}", "line 1: undefined value"),
            ("\n{{ who | shout }}", "line 2: unknown filter"),
            ("{% for a in range(9000) %}{% for b in range(9000) %}x{% endfor %}{% endfor %}", "fuel"),
            ("{% for a in range(9000) %}{{ who }}{{ who }}{{ who }}{% endfor %}", "more than 65536 bytes"),
            ("{% include 'text' %}", "line 1: "),
        ] {
            let error = rendered(TemplateName::Text, source).unwrap_err();
            assert!(error.contains(words), "{source}: {error}");
        }
    }
}
