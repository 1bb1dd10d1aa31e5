//! `toritsugi sounds`: guidance and announcements that people upload.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use toritsugi::callflow::guidance::Guidance;
use toritsugi::contract::sound::SoundKind;

use super::Global;
use super::client::{ClientArgs, Ids};
use super::named;
use super::output::{Output, Table, print, print_json, print_line};

const PATH: &str = "/v1/sounds";
const IDS: Ids = Ids { what: "sound", paths: &[PATH], command: "toritsugi sounds list" };

#[derive(Debug, Args)]
pub(super) struct Sounds {
    #[command(subcommand)]
    command: SoundsCommand,
}

#[derive(Debug, Subcommand)]
enum SoundsCommand {
    /// List the sounds that were uploaded.
    List(List),
    /// Upload a WAV file; it is converted to what a telephone carries first. Prints the name that callflows use.
    Add(Add),
    /// Write a sound into a WAV file, as callers hear it.
    Play(Play),
    /// Delete a sound that no callflow names.
    Delete(One),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Add {
    /// The WAV file.
    file: PathBuf,
    /// How people call it.
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// What it is for: callers hear guidance (at most 60 s), operators an announcement (at most 2 s).
    #[arg(long, value_name = "KIND", value_parser = ["guidance", "announcement"], default_value = "guidance")]
    kind: String,
    /// What is spoken.
    #[arg(long, value_name = "TEXT", default_value = "")]
    words: String,
    /// The account that it is for: its code, its name or the beginning of its id [default: all].
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Play {
    /// The sound: its id, or the beginning of it.
    id: String,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct One {
    /// The sound: its id, or the beginning of it.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Sounds {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            SoundsCommand::List(command) => command.run(global).await,
            SoundsCommand::Add(command) => command.run(global).await,
            SoundsCommand::Play(command) => command.run(global).await,
            SoundsCommand::Delete(command) => command.run(global).await,
        }
    }
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let found: Value = client.get(PATH, &[]).await?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        if self.output.json {
            print_json(&found)?;
        } else if items.is_empty() {
            print_line("no sound was uploaded: toritsugi sounds add")?;
        } else {
            let mut table = Table::new(["ID", "NAME", "KIND", "SECONDS", "TITLE", "BY"]);
            for one in &items {
                let text = |key: &str| one[key].as_str().unwrap_or_default();
                let ms = one["ms"].as_u64().unwrap_or(0);
                let seconds = format!("{}.{}", ms / 1_000, ms % 1_000 / 100);
                table.row([text("id"), text("name"), text("kind"), &seconds, text("title"), text("by_name")]);
            }
            print(&table.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let path = self.file.display();
        let file = std::fs::read(&self.file).with_context(|| format!("cannot read {path}"))?;
        let kind = SoundKind::parse(&self.kind).unwrap_or_default();
        // What is sent is small, and what is wrong with the file is said without a daemon.
        let guidance = match Guidance::of_wav(&file, kind) {
            Ok(guidance) => guidance,
            Err(error) => bail!("{path}: {error}"),
        };
        let client = self.client.client(global)?;
        let account = match &self.account {
            Some(account) => Some(named::account(&client, account).await?),
            None => None,
        };
        let mut query = vec![
            ("title", self.title.as_str()),
            ("kind", self.kind.as_str()),
            ("words", self.words.as_str()),
        ];
        query.extend(account.iter().map(|id| ("account", id.as_str())));
        let sound: Value = client.post_bytes(PATH, &query, "audio/wav", guidance.to_wav()).await?;
        print_line(&format!("{}: {} ms", sound["name"].as_str().unwrap_or_default(), sound["ms"]))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Play {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let id = client.whole_id(&self.id, IDS).await?;
        let answer = client.download(&format!("{PATH}/{id}/audio"), &[]).await?;
        let file = answer.bytes().await.context("the sound did not arrive")?;
        std::fs::write(&self.to, file).with_context(|| format!("cannot write {}", self.to.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl One {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let client = self.client.client(global)?;
        let id = client.whole_id(&self.id, IDS).await?;
        client.delete(&format!("{PATH}/{id}")).await?;
        print_line("deleted")?;
        Ok(ExitCode::SUCCESS)
    }
}
