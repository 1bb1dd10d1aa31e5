//! `toritsugi accounts`: the companies that calls are answered for, and the recorded pronunciation of their names.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use toritsugi::store::account_clips::{CLIP_BYTES_MAX, clip_kind};

use super::Global;
use super::client::ClientArgs;
use super::named;
use super::output::print_line;
use super::records::{Of, RecordsCommand};

#[derive(Debug, Args)]
pub(super) struct Accounts {
    #[command(subcommand)]
    command: AccountsCommand,
}

#[derive(Debug, Subcommand)]
enum AccountsCommand {
    #[command(flatten)]
    Records(RecordsCommand),
    /// Record how the account's name is pronounced, or delete the recording.
    Pronunciation(Pronunciation),
}

#[derive(Debug, Args)]
struct Pronunciation {
    /// The account: its code, its name or the beginning of its id
    account: String,
    /// A few seconds of sound: MP3, Ogg, WAV, WebM or MP4, at most 256 KiB
    #[arg(required_unless_present = "delete")]
    file: Option<PathBuf>,
    /// Delete the recording
    #[arg(long, conflicts_with = "file")]
    delete: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// What the daemon stored.
#[derive(Debug, Deserialize)]
struct Stored {
    kind: String,
    bytes: u64,
}

impl Accounts {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            AccountsCommand::Records(command) => command.run(global, Of::Accounts).await,
            AccountsCommand::Pronunciation(command) => command.run(global).await,
        }
    }
}

impl Pronunciation {
    async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        // What cannot be a recording is refused before the daemon is asked.
        let sound = self.file.as_deref().map(|file| {
            let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            if bytes.len() > CLIP_BYTES_MAX {
                let (size, most) = (bytes.len(), CLIP_BYTES_MAX);
                bail!(
                    "{} has {size} bytes, and at most {most} are allowed; some seconds are enough",
                    file.display()
                );
            }
            if clip_kind(&bytes).is_none() {
                bail!(
                    "{} is no sound that browsers play: give a file of MP3, Ogg, WAV, WebM or MP4",
                    file.display()
                );
            }
            Ok(bytes)
        });
        let sound = sound.transpose()?;
        let client = self.client.client(global)?;
        let account = named::account(&client, &self.account).await?;
        let path = format!("/v1/accounts/{account}/pronunciation");
        let Some(sound) = sound else {
            client.delete(&path).await?;
            print_line(&format!("{}: no pronunciation is recorded any more", self.account))?;
            return Ok(ExitCode::SUCCESS);
        };
        let Stored { kind, bytes } = client.put(&path, &json!({ "content": STANDARD.encode(sound) })).await?;
        print_line(&format!("{}: recorded, {kind}, {bytes} bytes", self.account))?;
        Ok(ExitCode::SUCCESS)
    }
}
