//! `toritsugi teams`: lists, shows and renames teams. A team begins with its first member (`toritsugi user set --team`) and goes
//! with its last.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Global;
use super::client::{Client, ClientArgs};
use super::named::{self, Named};
use super::output::{Output, Table, plain, print, print_json, print_line};

const TEAM: Named = Named {
    what: "team",
    path: "/v1/teams",
    fields: &["name"],
    is_searched: false,
    command: "toritsugi teams list",
};

#[derive(Debug, Args)]
pub(super) struct Teams {
    #[command(subcommand)]
    command: TeamsCommand,
}

#[derive(Debug, Subcommand)]
enum TeamsCommand {
    /// List the teams with the number of their people.
    List(List),
    /// Show one team with its people.
    Show(Show),
    /// Rename a team; its people stay in it.
    Set(Set),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Show {
    /// The team: its name or the beginning of its id
    team: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct Set {
    /// The team: its name or the beginning of its id
    team: String,
    /// Its new name: name=…
    #[arg(value_name = "name=NAME")]
    change: String,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

impl Teams {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            TeamsCommand::List(list) => list.run(global).await?,
            TeamsCommand::Show(show) => show.run(global).await?,
            TeamsCommand::Set(set) => set.run(global).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn teams(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut answer: Value = client.get(TEAM.path, &[]).await?;
    Ok(answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let teams = teams(&self.client.client(global)?).await?;
        if self.output.json {
            return print_json(&teams);
        }
        let mut table = Table::new(["ID", "NAME", "PEOPLE"]);
        for team in &teams {
            let id: String = team["id"].as_str().unwrap_or_default().chars().take(8).collect();
            let people = team["members"].as_array().map_or(0, Vec::len).to_string();
            table.row([&id, team["name"].as_str().unwrap_or_default(), &people]);
        }
        Ok(print(&table.render())?)
    }
}

impl Show {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let teams = teams(&self.client.client(global)?).await?;
        show(named::one_of(TEAM, &self.team, &teams)?, self.output)
    }
}

fn show(team: &Value, output: Output) -> anyhow::Result<()> {
    if output.json {
        return print_json(team);
    }
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    print_line(&format!("{:<20}{}", "name", text(&team["name"])))?;
    print_line(&format!("{:<20}{}", "id", text(&team["id"])))?;
    for member in team["members"].as_array().into_iter().flatten() {
        print_line(&format!("{:<20}{} ({})", "member", text(&member["name"]), text(&member["role"])))?;
    }
    Ok(())
}

impl Set {
    async fn run(self, global: &Global) -> anyhow::Result<()> {
        let Some(("name", name)) = self.change.split_once('=') else {
            bail!("{:?} is not a change: a team has a name alone; write name=…", self.change);
        };
        let client = self.client.client(global)?;
        let teams = teams(&client).await?;
        let id = named::one_of(TEAM, &self.team, &teams)?["id"].as_str().unwrap_or_default();
        let renamed: Value = client.patch(&format!("{}/{id}", TEAM.path), &json!({ "name": name })).await?;
        show(&renamed, self.output)
    }
}
