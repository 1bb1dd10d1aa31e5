//! `toritsugi tasks`: the calls that operators make about messages (電話連絡).

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Global;
use super::client::{ClientArgs, Ids};
use super::messages::NEWEST;
use super::output::{Output, Table, print, print_json};

const PATH: &str = "/v1/tasks";
const IDS: Ids = Ids { what: "task", paths: &[PATH], command: "toritsugi tasks list" };

#[derive(Debug, Args)]
pub(super) struct Tasks {
    #[command(subcommand)]
    command: TasksCommand,
}

#[derive(Debug, Subcommand)]
enum TasksCommand {
    /// List the tasks that are to be done, in the order in which they are due.
    List(List),
    /// Make a task: an operator calls somebody about a message.
    Add(Add),
    /// Take a task for five minutes.
    Claim(One),
    /// Give a task back.
    Release(One),
    /// Say what came of the call of a task that you have claimed.
    Result(Report),
}

#[derive(Debug, Args)]
struct List {
    /// Only those in this state: open, claimed, done, failed or cancelled.
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct One {
    /// The id of the task, from `toritsugi tasks list`.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Add {
    /// The id of the message, from `toritsugi messages list`.
    #[arg(value_name = "MESSAGE")]
    message: String,
    /// The contact who is called: its id; the message's contact without it.
    #[arg(long, value_name = "ID")]
    contact: Option<String>,
    /// The number; the contact's own without it.
    #[arg(long, value_name = "NUMBER")]
    number: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct Report {
    /// The id of the task, from `toritsugi tasks list`.
    #[arg(value_name = "ID")]
    id: String,
    /// What came of it: told, no_answer, busy, mailbox or wrong_number.
    #[arg(value_name = "RESULT")]
    result: String,
    /// A note, up to 200 characters.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Task>,
}

#[derive(Debug, Deserialize)]
struct Task {
    id: String,
    due_at: String,
    name: String,
    number: String,
    urgency: String,
    state: String,
    attempts: u32,
    claimed_by_name: Option<String>,
}

impl Tasks {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            TasksCommand::List(List { state, client, output }) => {
                let client = client.client(global)?;
                let query: Vec<_> = state.iter().map(|state| ("state", state.as_str())).collect();
                if output.json {
                    print_json(&client.get::<Value>(PATH, &query).await?)?;
                } else {
                    print(&table(&client.get::<Page>(PATH, &query).await?.items))?;
                }
            }
            TasksCommand::Add(Add { message, contact, number, client }) => {
                let client = client.client(global)?;
                let message = client.whole_id(&message, NEWEST).await?;
                let body = json!({ "message": message, "contact": contact, "number": number });
                let made: Task = client.post(PATH, &body).await?;
                print(&table(&[made]))?;
            }
            TasksCommand::Claim(one) => one.post(global, "claim").await?,
            TasksCommand::Release(one) => one.post(global, "release").await?,
            TasksCommand::Result(Report { id, result, note, client }) => {
                let client = client.client(global)?;
                let id = client.whole_id(&id, IDS).await?;
                let body = json!({ "result": result, "note": note });
                client.post::<_, Value>(&format!("{PATH}/{id}/result"), &body).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl One {
    async fn post(self, global: &Global, verb: &str) -> anyhow::Result<()> {
        let client = self.client.client(global)?;
        let id = client.whole_id(&self.id, IDS).await?;
        client.post_empty(&format!("{PATH}/{id}/{verb}")).await
    }
}

fn table(tasks: &[Task]) -> String {
    let mut table = Table::new(["ID", "DUE", "URGENCY", "WHOM", "NUMBER", "STATE", "TRIES", "BY"]);
    for task in tasks {
        table.row([
            &task.id,
            &task.due_at,
            &task.urgency,
            &task.name,
            &task.number,
            &task.state,
            &task.attempts.to_string(),
            task.claimed_by_name.as_deref().unwrap_or("-"),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_a_table() {
        let page: Page = serde_json::from_str(
            r#"{"items":[{"id":"0a1c","due_at":"2026-11-29T05:00:00.000Z","name":"田中","number":"090-1111-0002",
                "urgency":"urgent","state":"open","attempts":0}]}"#,
        )
        .unwrap();
        let expected = "\
ID    DUE                       URGENCY  WHOM  NUMBER         STATE  TRIES  BY
0a1c  2026-11-29T05:00:00.000Z  urgent   田中  090-1111-0002  open   0      -
";
        assert_eq!(table(&page.items), expected);
    }
}
