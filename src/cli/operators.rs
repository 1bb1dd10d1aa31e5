//! `toritsugi operators`: who is there and which calls each has.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::client::ClientArgs;
use super::output::{Output, Table, print, print_json};

/// Where the operators are.
const PATH: &str = "/v1/operators";

#[derive(Debug, Args)]
pub(super) struct Operators {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: Output,
}

/// The answer, as far as it is printed.
#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Operator>,
}

#[derive(Debug, Deserialize)]
struct Operator {
    extension: Option<String>,
    name: String,
    role: String,
    team: Option<String>,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    id: String,
    state: String,
}

impl Operators {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.client.client()?;
        if self.output.json {
            print_json(&client.get::<Value>(PATH, &[]).await?)?;
        } else {
            let list: List = client.get(PATH, &[]).await?;
            print(&table(&list.items))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(operators: &[Operator]) -> String {
    let mut table = Table::new(["EXTENSION", "NAME", "ROLE", "TEAM", "CALLS"]);
    for operator in operators {
        let call = |call: &Call| format!("{} {}", call.id.chars().take(8).collect::<String>(), call.state);
        let calls: Vec<String> = operator.calls.iter().map(call).collect();
        let calls = if calls.is_empty() { "-".into() } else { calls.join(", ") };
        let extension = operator.extension.as_deref().unwrap_or("-");
        table.row([
            extension,
            &operator.name,
            &operator.role,
            operator.team.as_deref().unwrap_or("-"),
            &calls,
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_a_table() {
        let list: List = serde_json::from_str(
            r#"{"items":[
                {"extension":"1001","name":"佐藤","kana":"","role":"operator","team":"A班",
                 "calls":[{"id":"0a1b2c3d-0000","state":"answered"}]},
                {"extension":"2001","name":"鈴木","kana":"","role":"supervisor","calls":[]}]}"#,
        )
        .unwrap();
        let expected = "\
EXTENSION  NAME  ROLE        TEAM  CALLS
1001       佐藤  operator    A班   0a1b2c3d answered
2001       鈴木  supervisor  -     -
";
        assert_eq!(table(&list.items), expected);
    }
}
