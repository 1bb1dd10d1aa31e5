//! The two Asterisks as processes. `up.sh` starts them, takes commands on its standard input, and ends both when its
//! standard input closes.
//!
//! Why a shell in between: the processes must end with the test binary, however that ends. A closed pipe is noticed
//! after a panic, an abort and `kill -9` alike, and no Rust code has to run for it.
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT_RUN: AtomicU64 = AtomicU64::new(1);

/// Which Asterisk to run: the one the product is made for, or an old one for recording transcripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsteriskVersion {
    /// Asterisk 22, or the one that is installed on this machine.
    Current,
    /// Asterisk 16.
    Old16,
}

impl AsteriskVersion {
    /// The one that the tests run on: the current one, or with `LAB_ASTERISK=16` the old one.
    pub(crate) fn wanted() -> Self {
        match std::env::var("LAB_ASTERISK").as_deref() {
            Ok("16") => Self::Old16,
            Ok(other) if other != "22" => panic!("LAB_ASTERISK is 22 or 16, not {other}"),
            _ => Self::Current,
        }
    }
}

/// One of the two Asterisks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The PBX under test.
    Pbx,
    /// Carrier and telephones.
    FarEnd,
}

/// A running pair of Asterisks.
pub(crate) struct LabProcess {
    shell: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    run_dir: PathBuf,
    facts: HashMap<String, String>,
}

impl LabProcess {
    /// Starts both and returns once calls can be placed. Blocks for some seconds, or for some minutes where the private
    /// Asterisk has to be built first.
    ///
    /// # Panics
    /// When the shell fails; the reason is on stderr.
    pub(crate) fn start(version: AsteriskVersion) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pbx_lab");
        // A new lab may start while the previous one still stops.
        let run = NEXT_RUN.fetch_add(1, Ordering::Relaxed);
        let run_dir = std::env::temp_dir().join(format!("toritsugi-lab-{}-{run}", std::process::id()));
        let number = match version {
            AsteriskVersion::Current => "22",
            AsteriskVersion::Old16 => "16",
        };
        let mut shell = Command::new(here.join("up.sh"))
            .arg(&run_dir)
            .args(["--asterisk", number, "--while-stdin-open"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/pbx_lab/up.sh runs (bash is installed)");
        let commands = shell.stdin.take().expect("piped above");
        let answers = BufReader::new(shell.stdout.take().expect("piped above"));
        let mut lab = Self { shell, commands, answers, run_dir, facts: HashMap::new() };
        lab.await_answer("ready");
        lab.read_facts();
        lab
    }

    /// A value from `lab.env`, for instance `LAB_PBX_AMI_PORT`.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("lab.env has no {name}"))
    }

    /// Kills one of them with SIGKILL, like a crash. Its sockets close at once.
    pub(crate) fn kill(&mut self, side: Side) {
        self.command(&format!("kill {}", side.word()), "killed");
    }

    /// Restarts a killed Asterisk on the same ports; returns once it has booted.
    pub(crate) fn revive(&mut self, side: Side) {
        self.command(&format!("start {}", side.word()), "ready");
        self.read_facts();
    }

    /// Restarts each Asterisk that is not alive; returns once both have booted.
    pub(crate) fn make_whole(&mut self) {
        self.command("make whole", "ready");
        self.read_facts();
    }

    fn command(&mut self, command: &str, answer: &str) {
        writeln!(self.commands, "{command}").expect("the lab's shell reads commands");
        self.await_answer(answer);
    }

    fn await_answer(&mut self, expected: &str) {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        assert!(
            read.is_ok() && line.trim_end() == expected,
            "the lab did not start or failed; its reason stands above (see tests/pbx_lab/up.sh)"
        );
    }

    fn read_facts(&mut self) {
        let text = std::fs::read_to_string(self.run_dir.join("lab.env"))
            .expect("up.sh writes lab.env before it says ready");
        self.facts = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    }
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Self::Pbx => "pbx",
            Self::FarEnd => "far",
        }
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        // An unknown command ends the shell, as the closing pipe would; waiting for it leaves no process and no directory behind.
        let _ = writeln!(self.commands, "end");
        let _ = self.shell.wait();
        let _ = std::fs::remove_dir_all(&self.run_dir);
    }
}
