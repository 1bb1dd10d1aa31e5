//! `toritsugi user`: manages the people and systems that may use the daemon, and their tokens.
//!
//! It writes to the store that the configuration names, so it can add the first administrator before a daemon runs. A
//! running daemon applies the change within seconds.
//!
//! Invariants: a token is written once, to standard output or to a new private file. A password comes from the
//! terminal, without echo, or from standard input, never from the command line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use toritsugi::contract::time::time as wire_time;
use toritsugi::ids::Extension;
use toritsugi::people::password::PasswordHash;
use toritsugi::people::role::Role;
use toritsugi::people::roster::person_text;
use toritsugi::people::token::Token;
use toritsugi::store::Store;
use toritsugi::store::users::{TokenDraft, TokenKind, UserChange, UserDraft, UserRecord};

use super::audit;
use super::language::say;
use super::output::{Output, Table, plain, print, print_error, print_json, print_line};
use super::{Global, password};

#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a person or a system. A token is printed, once, unless a password is set.
    Add(Add),
    /// List all users; tokens cannot be shown again.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show one user with the tokens, which cannot be shown again themselves.
    Show {
        /// The name or extension of the user.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Change a user's name, reading, role, extension or team.
    Set(Set),
    /// Create another token for a user and print it, once; earlier tokens stay valid.
    Token {
        /// The name or extension of the user.
        name: String,
        /// A label for the token.
        #[arg(long, default_value = "command line")]
        label: String,
        #[command(flatten)]
        token: TokenArgs,
    },
    /// Set a user's password for the sign-in page; it is prompted for, or read from standard input.
    Password {
        /// The name or extension of the user.
        name: String,
    },
    /// Revoke a user with all tokens; the name and the extension can be used again.
    Revoke {
        /// The name or extension of the user.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// The name to sign in with.
    name: String,
    /// The role: operator, supervisor, admin or system.
    #[arg(long)]
    role: Role,
    /// The reading of the name (kana).
    #[arg(long, default_value = "")]
    kana: String,
    /// The extension of this person's phone.
    #[arg(long, value_parser = |text: &str| Extension::parse(text))]
    extension: Option<Extension>,
    /// The name of the team; a supervisor sees the operators of the same team.
    #[arg(long)]
    team: Option<String>,
    /// Also set a password for the sign-in page; it is prompted for, or read from standard input.
    #[arg(long)]
    password: bool,
    /// Also make a token where --password is given.
    #[arg(long = "token")]
    wants_token: bool,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Debug, Args)]
struct Set {
    /// The name or extension of the user.
    name: String,
    /// The new name to sign in with.
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// The new reading of the name (kana).
    #[arg(long)]
    kana: Option<String>,
    /// The new role: operator, supervisor, admin or system.
    #[arg(long)]
    role: Option<Role>,
    /// The new extension of this person's phone; empty: none.
    #[arg(long)]
    extension: Option<String>,
    /// The name of the new team; empty: none.
    #[arg(long)]
    team: Option<String>,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// Write the token into this new file, which only you can read, instead of printing it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Days until the token expires [default: never].
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
            UserCommand::Show { name, output } => show(&store, &name, output).await,
            UserCommand::Set(set) => set.run(&store).await,
            UserCommand::Token { name, label, token } => {
                let user = find_user(&store, &name).await?;
                token.create(&store, &user, &label).await
            }
            UserCommand::Password { name } => set_password(&store, &name).await,
            UserCommand::Revoke { name } => {
                let user = find_user(&store, &name).await?;
                if store.revoke_user(user.person.id, Timestamp::now()).await? {
                    let about = (user.person.name.as_str(), Some(user.person.id));
                    audit::record(&store, "user.revoked", about, json!({ "role": user.person.role })).await;
                }
                Ok(())
            }
        };
        store.close().await;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Add {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let password = if self.password { Some(PasswordHash::of(&password::read().await?)?) } else { None };
        let draft = UserDraft {
            name: person_text("the name", &self.name)?,
            kana: if self.kana.is_empty() { String::new() } else { person_text("--kana", &self.kana)? },
            role: self.role,
            extension: self.extension,
            team: self.team.map(|team| person_text("--team", &team)).transpose()?,
            password,
        };
        // The file is created first: no user may exist whose token could not be written.
        let file = self.token.new_file()?;
        let added = store.add_user(&draft, Timestamp::now()).await;
        let id = match added {
            Ok(id) => id,
            Err(error) => {
                if let Some((path, _)) = file {
                    // The file was created above and is empty.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error.into());
            }
        };
        let user = store.user(id).await?.context("the user was removed at the same time")?;
        let details = json!({
            "role": user.person.role, "extension": user.person.extension, "team": user.team,
            "password": user.has_password,
        });
        audit::record(store, "user.created", (&user.person.name, Some(id)), details).await;
        // Somebody who signs in at the page needs no token: one that nobody keeps is only a risk.
        if user.has_password && !self.wants_token && file.is_none() {
            return Ok(());
        }
        self.token.create_into(store, &user, "command line", file).await
    }
}

impl TokenArgs {
    fn new_file(&self) -> anyhow::Result<Option<(&Path, File)>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("cannot create the new file {}", path.display()))?;
        Ok(Some((path, file)))
    }

    async fn create(&self, store: &Store, user: &UserRecord, label: &str) -> anyhow::Result<()> {
        let label = person_text("--label", label)?;
        self.create_into(store, user, &label, self.new_file()?).await
    }

    async fn create_into(
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
        let id = store.add_token(&draft, now).await?;
        let details = json!({
            "token": id, "label": draft.label, "expires_at": draft.expires_at.map(wire_time),
        });
        let about = (user.person.name.as_str(), Some(user.person.id));
        audit::record(store, "token.created", about, details).await;
        match file {
            None => {
                // Standard output is the token alone, for a script.
                print_error(&say("token, shown once:"));
                print_line(&token.expose())?;
            }
            Some((path, mut file)) => writeln!(file, "{}", token.expose())
                .with_context(|| format!("cannot write the token into {}", path.display()))?,
        }
        Ok(())
    }
}

async fn find_user(store: &Store, name: &str) -> anyhow::Result<UserRecord> {
    match store.user_by_login(name).await? {
        Some((user, _)) => Ok(user),
        None => {
            bail!("there is no user {}, or the user was revoked; see `toritsugi user list`", plain(name))
        }
    }
}

impl Set {
    async fn run(self, store: &Store) -> anyhow::Result<()> {
        let before = find_user(store, &self.name).await?;
        let change = UserChange {
            name: self.rename.as_deref().map(|name| person_text("--rename", name)).transpose()?,
            kana: match self.kana.as_deref() {
                Some("") => Some(String::new()),
                Some(kana) => Some(person_text("--kana", kana)?),
                None => None,
            },
            role: self.role,
            extension: match self.extension.as_deref() {
                Some("") => Some(None),
                Some(digits) => Some(Some(Extension::parse(digits)?)),
                None => None,
            },
            team: match self.team.as_deref() {
                Some("") => Some(None),
                Some(team) => Some(Some(person_text("--team", team)?)),
                None => None,
            },
            ..UserChange::default()
        };
        store.change_user(before.person.id, &change, Timestamp::now()).await?;
        let after = store.user(before.person.id).await?.context("the user was removed at the same time")?;
        let fields = |user: &UserRecord| {
            let person = &user.person;
            [
                ("name", json!(person.name)),
                ("kana", json!(person.kana)),
                ("role", json!(person.role)),
                ("extension", json!(person.extension)),
                ("team", json!(user.team)),
            ]
        };
        let mut changed = serde_json::Map::new();
        for ((field, old), (_, new)) in fields(&before).into_iter().zip(fields(&after)) {
            if old != new {
                changed.insert(field.into(), json!({ "before": old, "after": new }));
            }
        }
        if changed.is_empty() {
            bail!("nothing was changed: give --rename, --kana, --role, --extension or --team another value");
        }
        let about = (before.person.name.as_str(), Some(before.person.id));
        audit::record(store, "user.changed", about, changed.into()).await;
        Ok(())
    }
}

async fn show(store: &Store, name: &str, output: Output) -> anyhow::Result<()> {
    let user = find_user(store, name).await?;
    let person = &user.person;
    let tokens = store.tokens_of(person.id).await?;
    let tokens: Vec<serde_json::Value> = tokens
        .iter()
        .map(|token| {
            json!({
                "id": token.id, "label": token.label, "session": token.kind == TokenKind::Session,
                "created_at": wire_time(token.created_at), "expires_at": token.expires_at.map(wire_time),
                "last_used_at": token.last_used_at.map(wire_time),
            })
        })
        .collect();
    let extension = person.extension.as_ref().map(ToString::to_string);
    if output.json {
        return print_json(&json!({
            "id": person.id, "name": person.name, "kana": person.kana, "role": person.role,
            "extension": extension, "team": user.team, "has_password": user.has_password,
            "created_at": wire_time(user.created_at), "tokens": tokens,
        }));
    }
    for (field, value) in [
        ("name", person.name.as_str()),
        ("kana", person.kana.as_str()),
        ("role", person.role.as_str()),
        ("extension", extension.as_deref().unwrap_or("-")),
        ("team", user.team.as_deref().unwrap_or("-")),
        ("password", if user.has_password { "yes" } else { "no" }),
    ] {
        print_line(&format!("{field:<12}{}", plain(value)))?;
    }
    let mut table = Table::new(["TOKEN", "LABEL", "CREATED", "LAST USED", "EXPIRES"]);
    for token in &tokens {
        let text = |field: &str| token[field].as_str().unwrap_or("-").to_owned();
        let id: String = text("id").chars().take(8).collect();
        table.row([&id, &text("label"), &text("created_at"), &text("last_used_at"), &text("expires_at")]);
    }
    Ok(print(&table.render())?)
}

async fn set_password(store: &Store, name: &str) -> anyhow::Result<()> {
    let user = find_user(store, name).await?;
    let hash = PasswordHash::of(&password::read().await?)?;
    let change = UserChange { password: Some(Some(hash)), ..UserChange::default() };
    store.change_user(user.person.id, &change, Timestamp::now()).await?;
    let about = (user.person.name.as_str(), Some(user.person.id));
    audit::record(store, "user.changed", about, json!({ "password": "set" })).await;
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
