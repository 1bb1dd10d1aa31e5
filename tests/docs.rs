//! The documentation against the code: what a page shows can be used as it stands.
//!
//! | in README*.md, CHANGELOG.md and docs/*.md | must be |
//! |---|---|
//! | a `toml` block | a configuration |
//! | a `script` block | a script that can be read |
//! | `toritsugi …` in a `console` block | a command line that the built program accepts |
//! | a relative link or picture | a file, and where it names one a heading of that file |
//! | a path under `/v1`, and its method | in the OpenAPI document; a body after `--json` has only fields that the document knows |
//! | a `json` block | JSON, of an event kind or problem type that exists |
//! | `make X`, a metric, a setting, a variable, a source file | there |
//!
//! And the other way round: every route, event kind and problem type is in docs/api.md, every room in docs/architecture.md.
//! Invariant: an example in a form that a check does not understand fails; nothing is passed over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use toritsugi::config::{Config, DEFAULT_TOML};

/// A command that runs longer than this was accepted.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

struct Page {
    name: String,
    path: PathBuf,
    blocks: Vec<Block>,
    /// The lines outside blocks.
    prose: Vec<String>,
}

struct Block {
    language: String,
    line: usize,
    lines: Vec<String>,
}

impl Block {
    /// The lines, where one that ends with a backslash is joined with the next.
    fn commands(&self) -> Vec<String> {
        let text = self.lines.join("\n").replace("\\\n", " ");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl Page {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let mut page = Self { name, path, blocks: Vec::new(), prose: Vec::new() };
        let mut open: Option<Block> = None;
        for (number, line) in (1..).zip(text.lines()) {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Block { language: language.to_owned(), line: number, lines: Vec::new() });
                }
                (Some(_), Some(_)) => page.blocks.extend(open.take()),
                (None, Some(block)) => block.lines.push(line.to_owned()),
                (None, None) => page.prose.push(line.to_owned()),
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", page.name);
        page
    }

    fn blocks_of<'a>(&'a self, languages: &'a [&str]) -> impl Iterator<Item = &'a Block> {
        self.blocks.iter().filter(|block| languages.contains(&block.language.as_str()))
    }

    /// The text between single backticks.
    fn code_spans(&self) -> Vec<String> {
        let lines = self.prose.iter();
        lines.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
    }

    /// Spans and lines of blocks.
    fn code(&self) -> Vec<String> {
        let mut code = self.code_spans();
        code.extend(self.blocks.iter().flat_map(Block::commands));
        code
    }

    fn everything(&self) -> String {
        let blocks = self.blocks.iter().map(Block::text);
        self.prose.iter().cloned().chain(blocks).collect::<Vec<_>>().join("\n")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn pages() -> Vec<Page> {
    let mut paths = vec![root().join("README.md"), root().join("README.ja.md"), root().join("CHANGELOG.md")];
    paths.extend(files(&root().join("docs"), "md"));
    paths.into_iter().map(Page::read).collect()
}

fn page(name: &str) -> Page {
    Page::read(root().join(name))
}

fn openapi() -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("src/gateway/openapi.json")).unwrap()).unwrap()
}

/// The examples that a schema lists for one of its fields.
fn listed(schema: &str, field: &str) -> BTreeSet<String> {
    let api = openapi();
    let examples = &api["components"]["schemas"][schema]["properties"][field]["examples"];
    examples.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The words of `text` that begin with `prefix` and go on with characters that `belongs` takes.
fn tokens(text: &str, prefix: &str, belongs: fn(char) -> bool) -> BTreeSet<String> {
    let places = text.match_indices(prefix);
    let own = places.filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    let length = |at: usize| text[at..].find(|c| !belongs(c)).unwrap_or(text.len() - at);
    own.map(|(at, _)| text[at..at + length(at)].to_owned()).collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_configuration_example_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    let (mut faults, mut count) = (Vec::new(), 0);
    for page in pages() {
        for block in page.blocks_of(&["toml"]) {
            count += 1;
            std::fs::write(&file, block.text()).unwrap();
            if let Err(error) = Config::from_layers(Some(&file), std::iter::empty()) {
                faults.push(format!("{}:{}: {error}", page.name, block.line));
            }
        }
    }
    assert_none(&faults);
    assert!(count > 0, "no page shows a configuration");
}

#[test]
fn every_script_example_can_be_read() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for page in pages() {
        for block in page.blocks_of(&["script"]) {
            count += 1;
            for finding in toritsugi::script::read(&block.text()).err().unwrap_or_default() {
                faults
                    .push(format!("{}:{}: line {}: {}", page.name, block.line, finding.line, finding.reason));
            }
        }
    }
    assert_none(&faults);
    assert!(count > 0, "no page shows a script");
}

/// The words of a shell command, up to a pipe, a redirection or the next command.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words
}

/// The arguments of `toritsugi` in a command, also behind sudo or a container's exec.
fn arguments(command: &str) -> Option<Vec<String>> {
    let words = words(command);
    let is_program = |at: &usize| words[*at] == "toritsugi" && (*at == 0 || !words[*at - 1].starts_with('-'));
    let at = (0..words.len()).find(is_program)?;
    (at + 1 < words.len()).then(|| words[at + 1..].to_vec())
}

/// The exit code of the program; `None` while it still runs after [`COMMAND_TIMEOUT`]. Nothing of this machine is read:
/// its configuration is a file that is not there, and its daemon a closed port.
fn exit_code(arguments: &[String], folder: &Path) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toritsugi"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("TORITSUGI")) {
        command.env_remove(name);
    }
    command.envs([
        ("TORITSUGI_CONFIG", "absent.toml"),
        ("TORITSUGI_URL", "http://127.0.0.1:1"),
        ("TORITSUGI_TOKEN", "none"),
    ]);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.args(arguments).spawn().unwrap();
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// `arguments` without `--config` and `--url`, which the test sets.
fn without_own_places(arguments: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--config" || argument == "--url" {
            rest.next();
        } else if !argument.starts_with("--config=") && !argument.starts_with("--url=") {
            kept.push(argument.clone());
        }
    }
    kept
}

#[test]
fn every_command_line_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        for block in page.blocks_of(&["console", "sh", "bash", "shell"]) {
            for line in block.commands() {
                let prompted = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
                let command = match (block.language.as_str(), prompted) {
                    ("console", None) => continue,
                    (_, prompted) => prompted.unwrap_or(&line).to_owned(),
                };
                let Some(arguments) = arguments(&command) else { continue };
                if !seen.insert(arguments.clone()) {
                    continue;
                }
                let mut help = arguments.clone();
                help.push("--help".to_owned());
                let asks_help = arguments.iter().any(|it| it == "--help" || it == "--version");
                if exit_code(&help, folder.path()) != Some(0)
                    || (!asks_help && exit_code(&without_own_places(&arguments), folder.path()) == Some(2))
                {
                    faults.push(format!("{}:{}: not a command line: {command}", page.name, block.line));
                }
            }
        }
    }
    assert_none(&faults);
    assert!(!seen.is_empty(), "no page shows a command");
}

/// The targets of Markdown links and pictures, and of `src="…"`.
fn link_targets(page: &Page) -> Vec<String> {
    let mut targets = Vec::new();
    for line in &page.prose {
        // A link's text may be code; its target never is.
        let mut ends = line.split("](").skip(1).map(|rest| (rest, ')')).collect::<Vec<_>>();
        ends.extend(line.split("src=\"").skip(1).map(|rest| (rest, '"')));
        targets.extend(ends.iter().map(|(rest, end)| rest.split(*end).next().unwrap().to_owned()));
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            targets.push(target.to_owned());
        }
    }
    targets
}

/// The anchors of a page, as GitHub derives them from its headings.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose.iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &String| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | 'ー'));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    for page in pages() {
        for target in link_targets(&page) {
            if target.starts_with("https://")
                || target.starts_with("http://")
                || target.starts_with("mailto:")
            {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path =
                if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            if !path.exists() {
                faults.push(format!("{}: no such file: {target}", page.name));
            } else if !anchor.is_empty()
                && !anchors(&Page::read(path.canonicalize().unwrap())).contains(anchor)
            {
                faults.push(format!("{}: no such heading: {target}", page.name));
            }
        }
    }
    assert_none(&faults);
}

/// Whether the path of an example is one of the document: a parameter stands as `{name}`, `$name`, CAPITALS or an id.
fn fits(example: &str, template: &str) -> bool {
    let (given, known): (Vec<_>, Vec<_>) = (example.split('/').collect(), template.split('/').collect());
    let fits = |(given, known): (&&str, &&str)| match (known.strip_prefix('{'), *given) {
        (None, given) => given == *known,
        (Some("verb}"), "answer" | "hold" | "resume" | "hangup") => true,
        // Names that stand for themselves.
        (Some("file}"), given) if given.ends_with(".csv") => true,
        (Some("words}"), "disposition" | "not_ready_reason" | "flag") => true,
        (Some("receiver}"), "crm") => true,
        (Some(_), given) => {
            given.starts_with(['{', '$'])
                || given.contains(|c: char| c.is_ascii_digit())
                || (!given.is_empty() && given.chars().all(|c| c.is_ascii_uppercase()))
        }
    };
    given.len() == known.len() && given.iter().zip(&known).all(fits)
}

fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/{}_-$.".contains(c)
}

/// Each path under `/v1` in `text`, with the method in front of it.
fn paths_in(text: &str) -> Vec<(Option<&str>, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("/v1/") {
        let rest = &text[at..];
        let path = &rest[..rest.find(|c| !is_path_char(c)).unwrap_or(rest.len())];
        let before = text[..at].trim_end_matches(['`', ' ']).rsplit(|c: char| !c.is_ascii_uppercase()).next();
        let method = before.filter(|word| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(word));
        found.push((method, path.trim_end_matches(['.', '/']).to_owned()));
    }
    found
}

#[test]
fn every_route_exists_and_is_documented() {
    let api = openapi();
    let known = api["paths"].as_object().unwrap();
    let (mut faults, mut shown) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        for (method, path) in paths_in(&page.everything()) {
            if path == "/v1" {
                continue;
            }
            let Some((template, operations)) = known.iter().find(|(template, _)| fits(&path, template))
            else {
                faults.push(format!("{}: no such route: {path}", page.name));
                continue;
            };
            if let Some(method) = method.filter(|method| operations.get(method.to_lowercase()).is_none()) {
                faults.push(format!("{}: no such operation: {method} {path}", page.name));
            }
            if page.name == "docs/api.md" {
                shown.insert(template.clone());
            }
        }
    }
    let missing = known.keys().filter(|path| path.starts_with("/v1") && !shown.contains(*path));
    faults.extend(missing.map(|path| format!("docs/api.md does not show {path}")));
    assert_none(&faults);
}

/// The JSON after `--json` in a command. `$name` outside a string stands for a number.
fn body_of(command: &str) -> Option<Result<Value, serde_json::Error>> {
    let rest = command.split_once("--json ")?.1;
    let (quote, rest) = (rest.chars().next()?, &rest[1..]);
    let text = match quote {
        '\'' => rest.split('\'').next()?.to_owned(),
        '"' => {
            let end = rest.char_indices().find(|(at, c)| *c == '"' && !rest[..*at].ends_with('\\'))?.0;
            rest[..end].replace("\\\"", "\"")
        }
        _ => return Some(serde_json::from_str(rest)),
    };
    let numbers = tokens(&text, "$", |c| c.is_ascii_alphanumeric() || "_$".contains(c));
    Some(serde_json::from_str(&numbers.iter().fold(text, |text, name| text.replace(name, "0"))))
}

/// The fields of a schema, through references and `allOf`, `oneOf`.
fn fields_of(api: &Value, schema: &Value, fields: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        return fields_of(api, &api["components"]["schemas"][name.rsplit('/').next().unwrap()], fields);
    }
    fields.extend(schema["properties"].as_object().into_iter().flat_map(|it| it.keys().cloned()));
    for part in ["allOf", "oneOf"].iter().filter_map(|key| schema[key].as_array()).flatten() {
        fields_of(api, part, fields);
    }
}

/// The commands of a `sh` block, where one that has an open quote goes on.
fn requests(block: &Block) -> Vec<String> {
    let mut requests: Vec<String> = Vec::new();
    for line in block.commands() {
        match requests.last_mut().filter(|last| last.matches('\'').count() % 2 == 1) {
            Some(last) => *last = format!("{last} {line}"),
            None => requests.push(line),
        }
    }
    requests
}

#[test]
fn every_request_in_the_api_page_fits_its_operation() {
    let (api, page) = (openapi(), page("docs/api.md"));
    let (mut faults, mut count) = (Vec::new(), 0);
    for request in page.blocks_of(&["sh", "console"]).flat_map(requests).filter(|line| line.contains("curl "))
    {
        let body = body_of(&request);
        let method = match request.split_once("-X ") {
            Some((_, rest)) => rest.split(' ').next().unwrap().to_lowercase(),
            None => if body.is_some() { "post" } else { "get" }.to_owned(),
        };
        for (_, path) in paths_in(&request) {
            let paths = api["paths"].as_object().unwrap();
            let Some((_, operations)) = paths.iter().find(|(template, _)| fits(&path, template)) else {
                continue;
            };
            count += 1;
            let mut fields = BTreeSet::new();
            fields_of(
                &api,
                &operations[&method]["requestBody"]["content"]["application/json"]["schema"],
                &mut fields,
            );
            match &body {
                _ if operations.get(&method).is_none() => {
                    faults.push(format!("no {method} of {path}: {request}"))
                }
                Some(Err(error)) => faults.push(format!("{error}: {request}")),
                Some(Ok(body)) => {
                    let unknown = body.as_object().unwrap().keys().filter(|key| !fields.contains(*key));
                    faults.extend(unknown.map(|key| format!("no field {key:?}: {request}")));
                }
                None => {}
            }
        }
    }
    assert_none(&faults);
    assert!(count > 20, "only {count} requests were recognised");
}

#[test]
fn every_json_example_is_of_a_known_kind() {
    let (kinds, problems) = (listed("Event", "kind"), listed("Problem", "type"));
    let mut faults = Vec::new();
    for page in pages() {
        for block in page.blocks_of(&["json"]) {
            let place = format!("{}:{}", page.name, block.line);
            match serde_json::from_str::<Value>(&block.text()) {
                Err(error) => faults.push(format!("{place}: {error}")),
                Ok(example) => {
                    let unknown = |key: &str, known: &BTreeSet<String>| {
                        example[key].as_str().filter(|word| !known.contains(*word)).map(str::to_owned)
                    };
                    let problem = unknown("type", &problems).filter(|_| example.get("status").is_some());
                    faults.extend(
                        unknown("kind", &kinds).or(problem).map(|word| format!("{place}: unknown: {word}")),
                    );
                }
            }
        }
    }
    let spans: BTreeSet<String> = page("docs/api.md").code_spans().into_iter().collect();
    let missing = kinds.iter().chain(&problems).filter(|word| !spans.contains(*word));
    faults.extend(missing.map(|word| format!("docs/api.md does not explain {word}")));
    assert_none(&faults);
}

fn make_targets() -> BTreeSet<String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let included =
        makefile.lines().filter_map(|line| line.strip_prefix("-include ")).flat_map(str::split_whitespace);
    let included = included.map(|file| std::fs::read_to_string(root().join(file)).unwrap());
    let texts: Vec<String> = included.chain([makefile.clone()]).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let target = |line: &str| line.split_once(':').map(|(name, _)| name.to_owned());
    let is_name =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    lines.filter_map(target).filter(is_name).collect()
}

#[test]
fn every_make_target_exists() {
    let known = make_targets();
    let mut faults = Vec::new();
    for page in pages() {
        for code in page.code() {
            let code = code.strip_prefix("$ ").unwrap_or(&code);
            let Some(rest) = code.strip_prefix("make ") else { continue };
            let named = rest.split('#').next().unwrap().split_whitespace();
            let unknown = named.filter(|word| !word.contains('=') && !known.contains(*word));
            faults.extend(unknown.map(|target| format!("{}: no such target: make {target}", page.name)));
        }
    }
    assert_none(&faults);
}

fn sources() -> String {
    let files = files(&root().join("src"), "rs");
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn every_metric_exists() {
    let sources = sources();
    let mut faults = Vec::new();
    for page in pages() {
        let is_metric = |c: char| c.is_ascii_lowercase() || c == '_';
        for token in tokens(&page.everything(), "toritsugi_", is_metric) {
            let name = token.strip_prefix("toritsugi_").unwrap();
            let base = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_registered = |name: &str| sources.contains(&format!("\"{name}\""));
            // The prefix alone, and names that are no metrics (the cookie), stand in the sources as they are.
            let known = is_registered(name)
                || base.is_some_and(is_registered)
                || sources.contains(&format!("\"{token}\""));
            if !known {
                faults.push(format!("{}: no such metric: {token}", page.name));
            }
        }
    }
    assert_none(&faults);
}

/// Each alert asks for metrics that exist, and names a heading of the operations guide.
#[test]
fn every_alert_has_its_place_in_the_operations_guide() {
    let sources = sources();
    let rules = std::fs::read_to_string(root().join("docker/prometheus/alerts.yml")).unwrap();
    let guide = page("docs/operations.md");
    let known = anchors(&guide);
    let mut faults = Vec::new();
    let is_metric = |c: char| c.is_ascii_lowercase() || c == '_';
    for token in tokens(&rules, "toritsugi_", is_metric) {
        let name = token.strip_prefix("toritsugi_").unwrap();
        let base = ["_total", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        if !sources.contains(&format!("\"{name}\"")) && !sources.contains(&format!("\"{base}\"")) {
            faults.push(format!("no such metric: {token}"));
        }
    }
    let places: Vec<&str> =
        rules.lines().filter_map(|line| line.split_once("operations.md#")).map(|(_, it)| it).collect();
    assert_eq!(places.len(), rules.matches("- alert: ").count(), "each alert has a runbook");
    faults
        .extend(places.iter().filter(|it| !known.contains(**it)).map(|it| format!("no such heading: {it}")));
    let text = guide.everything();
    let named = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    faults.extend(named.filter(|name| !text.contains(*name)).map(|name| format!("not in the guide: {name}")));
    assert_none(&faults);
}

/// Whether default.toml has the key, or a table in which the installation chooses the keys.
fn is_setting(key: &str) -> bool {
    let defaults: toml::Table = DEFAULT_TOML.parse().unwrap();
    let mut table = &defaults;
    for part in key.split('.') {
        match table.get(part) {
            Some(toml::Value::Table(inner)) => table = inner,
            Some(_) => return true,
            None => return table.is_empty(),
        }
    }
    true
}

/// `section.key`, `[section]` or `[section] key` as a key, where the section is one of the configuration.
fn setting_of(code: &str, sections: &BTreeSet<String>) -> Option<String> {
    let key = match code.strip_prefix('[') {
        Some(rest) => {
            let (section, key) = rest.split_once(']')?;
            let key = key.split('=').next().unwrap().trim();
            if key.is_empty() { section.to_owned() } else { format!("{section}.{key}") }
        }
        None => code.split(" = ").next().unwrap().to_owned(),
    };
    let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c));
    let is_file =
        key.ends_with(".rs") || key.ends_with(".md") || key.ends_with(".toml") || key.ends_with(".sh");
    let in_section = sections.contains(key.split('.').next().unwrap());
    let is_named = code.starts_with('[') || key.contains('.');
    (is_key && !is_file && in_section && is_named).then_some(key)
}

#[test]
fn every_setting_exists() {
    let defaults: toml::Table = DEFAULT_TOML.parse().unwrap();
    let (sections, kinds) = (defaults.keys().cloned().collect(), listed("Event", "kind"));
    let (mut faults, mut count) = (Vec::new(), 0);
    for page in pages() {
        for key in page.code_spans().iter().filter_map(|code| setting_of(code, &sections)) {
            count += 1;
            // A secret's own key exists in the environment alone; default.toml names the variable.
            let variable = format!("TORITSUGI__{}", key.to_uppercase().replace('.', "__"));
            if !kinds.contains(&key) && !is_setting(&key) && !DEFAULT_TOML.contains(&variable) {
                faults.push(format!("{}: no such setting: {key}", page.name));
            }
        }
        let is_variable = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        for variable in tokens(&page.everything(), "TORITSUGI__", is_variable) {
            let key = variable.trim_start_matches("TORITSUGI__").to_lowercase().replace("__", ".");
            let is_secret = key.starts_with("webhooks.secrets.") || DEFAULT_TOML.contains(&variable);
            if !key.is_empty() && !is_secret && !is_setting(&key) {
                faults.push(format!("{}: no such setting: {variable}", page.name));
            }
        }
    }
    assert_none(&faults);
    assert!(count > 20, "only {count} settings were recognised");
}

#[test]
fn every_named_file_exists() {
    const FOLDERS: [&str; 10] = [
        "src/",
        "tests/",
        "docs/",
        "desktop/",
        "docker/",
        "systemd/",
        "asterisk-conf/",
        "fuzz/",
        "benches/",
        ".ci/",
    ];
    const ENDINGS: [&str; 9] = [".rs", ".sql", ".toml", ".json", ".sh", ".ts", ".awk", ".service", ".svg"];
    let mut faults = Vec::new();
    for page in pages() {
        for code in page.code_spans() {
            let is_plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let names_file = code.contains('/') && ENDINGS.iter().any(|ending| code.ends_with(ending));
            let names_place = FOLDERS.iter().any(|folder| code.starts_with(folder));
            if !is_plain || code.starts_with('/') || !(names_file || names_place) {
                continue;
            }
            let beside = page.path.parent().unwrap().join(&code);
            if !root().join(&code).exists() && !root().join("src").join(&code).exists() && !beside.exists() {
                faults.push(format!("{}: no such file: {code}", page.name));
            }
        }
    }
    for row in page("docs/glossary.md").prose.iter().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if cells.len() != 7 {
            continue;
        }
        for place in cells[5].split('`').skip(1).step_by(2) {
            let path = root().join("src").join(place);
            if !path.exists() && !path.with_extension("rs").exists() {
                faults.push(format!("docs/glossary.md: {}: no src/{place}", cells[1]));
            }
        }
    }
    assert_none(&faults);
}

/// The groups of rooms in src/lib.rs: a blank or comment line ends a group. The command line is above all of them.
fn groups_of_rooms() -> Vec<BTreeSet<String>> {
    let map = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut groups = vec![BTreeSet::new()];
    for line in map.lines() {
        if let Some(room) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            groups.last_mut().unwrap().insert(room.to_owned());
        } else {
            groups.push(BTreeSet::new());
        }
    }
    groups.push(BTreeSet::from(["cli".to_owned()]));
    groups.retain(|group| !group.is_empty());
    groups
}

#[test]
fn the_architecture_page_has_the_rooms_and_their_order() {
    let picture = std::fs::read_to_string(root().join("docs/images/rooms.svg")).unwrap();
    let mut shown: Vec<BTreeSet<String>> = Vec::new();
    for row in page("docs/architecture.md").prose {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let &[_, number, room, _, _] = cells.as_slice() else { continue };
        if number.parse() == Ok(shown.len() + 1) {
            shown.push(BTreeSet::new());
        } else if !number.is_empty() || shown.is_empty() {
            continue;
        }
        let room = room.trim_matches('`');
        assert!(picture.contains(&format!(">{room}<")), "docs/images/rooms.svg lacks {room}");
        shown.last_mut().unwrap().insert(room.to_owned());
    }
    assert_eq!(shown, groups_of_rooms(), "the table of rooms, and the groups of src/lib.rs");
}
