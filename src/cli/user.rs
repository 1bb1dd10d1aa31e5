//! `toritsugi user`: people and systems that may use the daemon, and their tokens.
//!
//! It works on the store that the configuration names, so it makes the first administrator before any daemon
//! runs; a running daemon sees the change within seconds. Invariant: a token goes to standard output or a new
//! private file, once; a password comes from the terminal, unseen, or from standard input, never from the
//! command line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use toritsugi::bus::event::wire_time;
use toritsugi::ids::Extension;
use toritsugi::operator::{PasswordHash, Role, Token, person_text};
use toritsugi::store::Store;
use toritsugi::store::users::{TokenDraft, TokenKind, UserChange, UserDraft, UserRecord};

use super::Global;
use super::output::{Output, Table, plain, print, print_json, print_line};
use super::password;

#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a person or system and print a token, once.
    Add(Add),
    /// List them; tokens cannot be shown again.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Print another token for somebody, once; those given before stay valid.
    Token {
        /// Whose: name or extension.
        name: String,
        /// What to call it.
        #[arg(long, default_value = "command line")]
        label: String,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Set the password for the sign-in page: asked for, or read from standard input.
    Password {
        /// Whose: name or extension.
        name: String,
    },
    /// Revoke somebody with all tokens; name and extension are free again.
    Revoke {
        /// Whose: name or extension.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// The name to sign in with.
    name: String,
    /// operator, supervisor, admin or system.
    #[arg(long)]
    role: Role,
    /// The reading of the name.
    #[arg(long, default_value = "")]
    kana: String,
    /// The extension this person answers at.
    #[arg(long, value_parser = |text: &str| Extension::parse(text))]
    extension: Option<Extension>,
    /// The team, by name; a supervisor sees the operators of her team.
    #[arg(long)]
    team: Option<String>,
    /// Set a password for the sign-in page, too: asked for, or read from standard input.
    #[arg(long)]
    password: bool,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// Write the token into this new file, readable by you alone, instead of printing it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let the token end after so many days [default: never].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    expires_in: Option<u16>,
}

impl User {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.config()?;
        let store = Store::open_at(&config.store.location()?).await?;
        let done = match self.command {
            UserCommand::Add(add) => add.run(&store).await,
            UserCommand::List { output } => list(&store, output).await,
            UserCommand::Token { name, label, token } => {
                let user = find(&store, &name).await?;
                token.give(&store, &user, &label).await
            }
            UserCommand::Password { name } => set_password(&store, &name).await,
            UserCommand::Revoke { name } => {
                let user = find(&store, &name).await?;
                store.revoke_user(user.person.id, Timestamp::now()).await?;
                Ok(())
            }
        };
        store.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Add {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let password = if self.password { Some(PasswordHash::of(&password::ask().await?)?) } else { None };
        let draft = UserDraft {
            name: person_text("the name", &self.name)?,
            kana: if self.kana.is_empty() { String::new() } else { person_text("--kana", &self.kana)? },
            role: self.role,
            extension: self.extension,
            team: self.team.map(|team| person_text("--team", &team)).transpose()?,
            password,
        };
        // Before the user is made: nobody should be there whose token could not be handed over.
        let file = self.token.file()?;
        let made = store.add_user(&draft, Timestamp::now()).await;
        let id = match made {
            Ok(id) => id,
            Err(error) => {
                if let Some((path, _)) = file {
                    // Made a moment ago, and empty.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error.into());
            }
        };
        let user = store.user(id).await?.context("the user has gone again")?;
        self.token.give_into(store, &user, "command line", file).await
    }
}

impl TokenArgs {
    fn file(&self) -> anyhow::Result<Option<(&Path, File)>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("cannot make the new file {}", path.display()))?;
        Ok(Some((path, file)))
    }

    async fn give(&self, store: &Store, user: &UserRecord, label: &str) -> anyhow::Result<()> {
        let label = person_text("--label", label)?;
        self.give_into(store, user, &label, self.file()?).await
    }

    async fn give_into(
        &self,
        store: &Store,
        user: &UserRecord,
        label: &str,
        file: Option<(&Path, File)>,
    ) -> anyhow::Result<()> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
        let token = Token::from_random(bytes);
        let now = Timestamp::now();
        let days = self.expires_in.map(|days| jiff::SignedDuration::from_hours(24 * i64::from(days)));
        let draft = TokenDraft {
            user: user.person.id,
            hash: token.hash(),
            kind: TokenKind::Token,
            label: label.to_owned(),
            expires_at: days.map(|days| now + days),
        };
        store.add_token(&draft, now).await?;
        match file {
            None => print_line(&token.expose())?,
            Some((path, mut file)) => writeln!(file, "{}", token.expose())
                .with_context(|| format!("cannot write the token into {}", path.display()))?,
        }
        Ok(())
    }
}

async fn find(store: &Store, name: &str) -> anyhow::Result<UserRecord> {
    match store.user_by_login(name).await? {
        Some((user, _)) => Ok(user),
        None => {
            bail!("there is nobody called {}, or they were revoked: see `toritsugi user list`", plain(name))
        }
    }
}

async fn set_password(store: &Store, name: &str) -> anyhow::Result<()> {
    let user = find(store, name).await?;
    let hash = PasswordHash::of(&password::ask().await?)?;
    let change = UserChange { password: Some(Some(hash)), ..UserChange::default() };
    store.change_user(user.person.id, &change, Timestamp::now()).await?;
    Ok(())
}

async fn list(store: &Store, output: Output) -> anyhow::Result<()> {
    let mut table = Table::new(["NAME", "ROLE", "EXTENSION", "TEAM", "PASSWORD", "TOKENS", "REVOKED"]);
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = store.users(after, toritsugi::store::PAGE_RECORDS_MAX).await?;
        for user in page.items {
            let tokens = store.tokens_of(user.person.id).await?.len();
            let person = &user.person;
            let extension = person.extension.as_ref().map(ToString::to_string);
            let revoked_at = user.revoked_at.map(wire_time);
            items.push(json!({
                "id": person.id, "name": person.name, "kana": person.kana, "role": person.role,
                "extension": extension, "team": user.team, "has_password": user.has_password,
                "tokens": tokens, "created_at": wire_time(user.created_at), "revoked_at": revoked_at,
            }));
            table.row([
                &person.name,
                person.role.as_str(),
                extension.as_deref().unwrap_or("-"),
                user.team.as_deref().unwrap_or("-"),
                if user.has_password { "yes" } else { "-" },
                &tokens.to_string(),
                revoked_at.as_deref().unwrap_or("-"),
            ]);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if output.json { print_json(&items) } else { Ok(print(&table.render())?) }
}
