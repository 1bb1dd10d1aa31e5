//! Merges the three layers of the configuration: `default.toml`, one file, the environment.
//!
//! | a layer holds | result |
//! |---|---|
//! | a key of `default.toml` | the value replaces that of the layers below |
//! | a key in a table whose keys the installation chooses ([`FREE_TABLES`]) | the key is added |
//! | a key in a table whose name the installation chooses ([`SERVER_TABLE`]) | the table is added with its defaults |
//! | any other key | an error that names the file or the environment variable |
//! | a secret ([`SECRET_KEYS`], `webhooks.secrets`) in the environment | the secret is kept apart from the other values |
//! | a secret in a file | an error; for [`SECRET_KEYS`] it says where the secret belongs |
//!
//! Values are checked after the merge, when they are deserialised. Invariant: the origin of every value is kept, so an
//! invalid value is reported with the file or variable that holds it.
//!
//! The text of an environment variable takes the type that its key has in `default.toml`: `8470` is a number for
//! `pbx.port` and text for `pbx.name`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError};
use crate::contract::setting::{Setting, SettingSource};
use crate::secret::Secret;

/// The defaults, with every key explained.
pub const DEFAULT_TOML: &str = include_str!("default.toml");
/// The configuration file that is read if it exists and no other file is named.
pub const DEFAULT_FILE: &str = "/etc/toritsugi/toritsugi.toml";
/// The environment variable that names the configuration file.
pub const CONFIG_ENV: &str = "TORITSUGI_CONFIG";

/// Prefix of the environment variables that override keys.
const ENV_PREFIX: &str = "TORITSUGI__";
/// What stands before the name of a variable in error messages.
const VARIABLE_ORIGIN: &str = "environment variable ";
/// The name of the first layer in error messages.
const DEFAULT_ORIGIN: &str = "default.toml (built in)";
/// Tables whose keys the installation chooses.
const FREE_TABLES: [&str; 9] = [
    "chat.hosts",
    "directory.default_accounts",
    "pbx.endpoint_extensions",
    "directory.dialled_headers",
    "mail.domains",
    "webhooks.urls",
    "webhooks.secret_files",
    "webhooks.kinds",
    "webhooks.secrets",
];
/// Keys whose relative paths start at the directory of the file that names them.
const PATH_KEYS: [&str; 20] = [
    "chat.chatwork_token_file",
    "chat.gateways_file",
    "pbx.event_secret_file",
    "pbx.action_secret_file",
    "pbx.tls.ca_file",
    "webhooks.ca_file",
    "fax.directory",
    "voice.directory",
    "store.path",
    "store.password_file",
    "bus.redis_password_file",
    "mail.ca_file",
    "mail.password_file",
    "mail.imap.password_file",
    "mail.token_file",
    "mail.imap.token_file",
    "mail.backup.ca_file",
    "mail.backup.password_file",
    "mail.backup.token_file",
    "reports.font",
];
/// Keys of secrets; only the environment may hold these.
const SECRET_KEYS: [&str; 8] = [
    "chat.chatwork_token",
    "pbx.event_secret",
    "pbx.action_secret",
    "store.password",
    "bus.redis_password",
    "mail.password",
    "mail.imap.password",
    "mail.backup.password",
];
/// The table of tables whose names the installation chooses: each has the keys of the table [`SERVER_TEMPLATE`] and
/// [`SERVER_TEXTS`], with the same defaults.
const SERVER_TABLE: &str = "mail.hosts.";
const SERVER_TEMPLATE: [&str; 2] = ["mail", "backup"];
const SERVER_TEXTS: [&str; 4] = ["from", "from_name", "reply_to", "bounce_address"];
/// Keys of such a table that hold paths, and the one of a secret.
const SERVER_PATHS: [&str; 3] = ["ca_file", "password_file", "token_file"];
const SERVER_SECRET: &str = "password";
/// Tables whose keys the installation chooses, and which hold numbers, lists, paths or secrets.
const INTEGER_TABLE: &str = "mail.domains.";
const LIST_TABLE: &str = "webhooks.kinds.";
const PATH_TABLE: &str = "webhooks.secret_files.";
const SECRET_TABLE: &str = "webhooks.secrets.";

impl Config {
    /// The configuration of this process, from `file`, else the file that [`CONFIG_ENV`] names, else [`DEFAULT_FILE`]
    /// if it exists. The environment of the process overrides the file.
    ///
    /// # Errors
    /// One line with the origin, the key and the reason.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let named = std::env::var_os(CONFIG_ENV).filter(|name| !name.is_empty()).map(PathBuf::from);
        let file = file.map(Path::to_path_buf).or(named).or_else(|| {
            let default = PathBuf::from(DEFAULT_FILE);
            default.exists().then_some(default)
        });
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        Self::from_layers(file.as_deref(), environment)
    }

    /// As [`Config::load`], but from the given layers.
    ///
    /// # Errors
    /// One line with the origin, the key and the reason.
    pub fn from_layers(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::with_defaults();
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).map_err(|e| ConfigError::Unreadable {
                file: file.display().to_string(),
                reason: e.to_string(),
            })?;
            layers.merge_file(file, &text)?;
        }
        layers.merge_environment(environment)?;
        let settings = layers.settings();
        let mut config = layers.finish()?;
        config.settings = settings;
        config.file = file.map(Path::to_path_buf);
        Ok(config)
    }
}

struct Layers {
    merged: Table,
    /// The origin of each key that a file or the environment sets.
    origins: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
}

impl Layers {
    fn with_defaults() -> Self {
        #[expect(clippy::expect_used, reason = "a unit test parses the same compiled-in text")]
        let merged = DEFAULT_TOML.parse().expect("default.toml is TOML");
        Self { merged, origins: BTreeMap::new(), secrets: BTreeMap::new() }
    }

    fn merge_file(&mut self, file: &Path, text: &str) -> Result<(), ConfigError> {
        let origin = file.display().to_string();
        let table: Table = text.parse().map_err(|e: toml::de::Error| ConfigError::Syntax {
            file: origin.clone(),
            line: e
                .span()
                .map_or(1, |span| 1 + text.as_bytes()[..span.start].iter().filter(|b| **b == b'\n').count()),
            reason: one_line(e.message()),
        })?;
        for (key, value) in leaf_values(table) {
            let value = match value {
                Value::String(path) if is_path(&key) && !path.is_empty() => {
                    let directory = file.parent().unwrap_or(Path::new(""));
                    Value::String(directory.join(path).to_string_lossy().into_owned())
                }
                other => other,
            };
            self.merge_value(&origin, &key, value)?;
        }
        Ok(())
    }

    fn merge_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in environment {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            let key = self.key_of_variable(rest);
            self.add_server(&key);
            if is_secret(&key) || key.starts_with(SECRET_TABLE) {
                self.secrets.insert(key, Secret::new(text));
                continue;
            }
            let origin = format!("{VARIABLE_ORIGIN}{}", one_line(&name));
            let value = match find_value(&self.merged, &key) {
                Some(Value::Integer(_)) => text.trim().parse().map_or(Value::String(text), Value::Integer),
                Some(Value::Boolean(_)) => text.trim().parse().map_or(Value::String(text), Value::Boolean),
                Some(Value::Array(_)) => parse_list(&text),
                None if key.starts_with(LIST_TABLE) => parse_list(&text),
                None if key.starts_with(INTEGER_TABLE) => {
                    text.trim().parse().map_or(Value::String(text), Value::Integer)
                }
                _ => Value::String(text),
            };
            self.merge_value(&origin, &key, value)?;
        }
        Ok(())
    }

    /// Converts `PBX__TLS__CA_FILE` to `pbx.tls.ca_file`. Keys in [`FREE_TABLES`] keep their case.
    fn key_of_variable(&self, rest: &str) -> String {
        let lower = rest.to_ascii_lowercase().replace("__", ".");
        for table in FREE_TABLES {
            if lower.starts_with(table) && lower.as_bytes().get(table.len()) == Some(&b'.') {
                let prefix = table.len() + table.matches('.').count();
                return format!("{table}.{}", &rest[prefix + 2..]);
            }
        }
        lower
    }

    /// Adds the table of [`SERVER_TABLE`] that this key is in, with the defaults, if there is none yet.
    fn add_server(&mut self, key: &str) {
        let Some(rest) = key.strip_prefix(SERVER_TABLE) else { return };
        let name = rest.split('.').next().unwrap_or_default();
        let (parent, table) = SERVER_TABLE.trim_end_matches('.').split_once('.').unwrap_or_default();
        let hosts = self.merged.get_mut(parent).and_then(|parent| parent.get_mut(table));
        let Some(hosts) = hosts.and_then(Value::as_table_mut) else { return };
        if hosts.contains_key(name) {
            return;
        }
        let defaults = Value::Table(Self::with_defaults().merged);
        let template = SERVER_TEMPLATE.iter().try_fold(&defaults, |table, part| table.get(part));
        let mut server = template.and_then(Value::as_table).cloned().unwrap_or_default();
        server.extend(SERVER_TEXTS.map(|key| (key.to_owned(), Value::String(String::new()))));
        hosts.insert(name.to_owned(), Value::Table(server));
    }

    fn merge_value(&mut self, origin: &str, key: &str, value: Value) -> Result<(), ConfigError> {
        let error = |reason: String| ConfigError::Key { origin: origin.into(), key: one_line(key), reason };
        self.add_server(key);
        if is_secret(key) {
            let variable = format!("{ENV_PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"));
            return Err(error(format!(
                "a secret does not belong in this file: write it into a file of its own and name that file in {key}_file, \
                 or set {variable}"
            )));
        }
        // A key that the installation chooses may itself hold dots (an endpoint's name).
        let chosen =
            FREE_TABLES.iter().find_map(|table| Some((*table, key.strip_prefix(table)?.strip_prefix('.')?)));
        let (section, name) = chosen.unwrap_or_else(|| key.rsplit_once('.').unwrap_or(("", key)));
        let free = FREE_TABLES.contains(&section);
        let table = if section.is_empty() {
            Some(&mut self.merged)
        } else {
            section.split('.').try_fold(&mut self.merged, |table, part| table.get_mut(part)?.as_table_mut())
        };
        let Some(table) = table else {
            let known = Table::iter(&self.merged).map(|(name, _)| name.as_str());
            return Err(error(format!(
                "unknown section; the sections are {}",
                known.collect::<Vec<_>>().join(", ")
            )));
        };
        match table.get(name) {
            Some(Value::Table(_)) if value.is_table() => return Ok(()),
            Some(Value::Table(_)) => {
                return Err(error("is a section, not a value: write its name in square brackets".into()));
            }
            None if !free => {
                let known: Vec<_> =
                    table.iter().filter(|(_, v)| !v.is_table()).map(|(k, _)| k.as_str()).collect();
                return Err(error(match (section, known.is_empty()) {
                    ("", _) | (_, true) => "unknown key".into(),
                    _ => format!("unknown key; [{section}] has {}", known.join(", ")),
                }));
            }
            _ => table.insert(name.into(), value),
        };
        self.origins.insert(key.into(), origin.into());
        Ok(())
    }

    /// Every setting with its value and where that comes from, by key. Of a secret only whether it is set.
    fn settings(&self) -> Vec<Setting> {
        let defaults: BTreeMap<String, Value> =
            leaf_values(Self::with_defaults().merged).into_iter().collect();
        let source = |key: &str| match self.origins.get(key).map(String::as_str) {
            None => (SettingSource::Default, None),
            Some(origin) => match origin.strip_prefix(VARIABLE_ORIGIN) {
                Some(variable) => (SettingSource::Environment, Some(variable.to_owned())),
                None => (SettingSource::File, Some(origin.to_owned())),
            },
        };
        let json = |value: &Value| serde_json::to_value(value).ok();
        let is_empty_section = |value: &Value| value.as_table().is_some_and(Table::is_empty);
        let plain =
            leaf_values(self.merged.clone()).into_iter().filter(|(_, value)| !is_empty_section(value));
        let mut settings: Vec<Setting> = plain
            .map(|(key, value)| {
                let (source, origin) = source(&key);
                let default = defaults.get(&key).and_then(json);
                Setting { value: json(&value), default, source, origin, is_set: None, key }
            })
            .collect();
        let named = self.secrets.keys().map(String::as_str).filter(|key| !SECRET_KEYS.contains(key));
        settings.extend(SECRET_KEYS.iter().copied().chain(named).map(|key| {
            let is_set = self.secrets.contains_key(key);
            let source = if is_set { SettingSource::Environment } else { SettingSource::Default };
            let (value, default, origin) = (None, None, None);
            Setting { key: key.to_owned(), value, default, source, origin, is_set: Some(is_set) }
        }));
        settings.sort_by(|a, b| a.key.cmp(&b.key));
        settings
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        let mut config: Config =
            serde_path_to_error::deserialize(Value::Table(self.merged)).map_err(|e| {
                let key = e.path().to_string();
                // An invalid element of a list, such as `pbx.trunks[1]`, has the origin of the list.
                let leaf = key.split('[').next().unwrap_or(&key);
                ConfigError::Key {
                    origin: self.origins.remove(leaf).unwrap_or_else(|| DEFAULT_ORIGIN.into()),
                    reason: one_line(e.inner().message()),
                    key: one_line(&key),
                }
            })?;
        let named = |(key, secret): (&String, &Secret)| {
            Some((key.strip_prefix(SECRET_TABLE)?.into(), secret.clone()))
        };
        config.webhooks.secrets = self.secrets.iter().filter_map(named).collect();
        config.chat.chatwork_token = self.secrets.remove("chat.chatwork_token");
        config.pbx.event_secret = self.secrets.remove("pbx.event_secret");
        config.pbx.action_secret = self.secrets.remove("pbx.action_secret");
        config.store.password = self.secrets.remove("store.password");
        config.bus.redis_password = self.secrets.remove("bus.redis_password");
        config.mail.password = self.secrets.remove("mail.password");
        config.mail.imap.password = self.secrets.remove("mail.imap.password");
        config.mail.backup.password = self.secrets.remove("mail.backup.password");
        for (name, host) in &mut config.mail.hosts {
            host.password = self.secrets.remove(&format!("{SERVER_TABLE}{name}.{SERVER_SECRET}"));
        }
        Ok(config)
    }
}

/// All values with their full keys. An empty section is listed as a value, so that an unknown section is an error.
fn leaf_values(table: Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), table)];
    while let Some((prefix, table)) = open.pop() {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) if !inner.is_empty() => open.push((key, inner)),
                value => found.push((key, value)),
            }
        }
    }
    found
}

fn is_path(key: &str) -> bool {
    PATH_KEYS.contains(&key)
        || key.starts_with(PATH_TABLE)
        || key_of_server(key).is_some_and(|key| SERVER_PATHS.contains(&key))
}

/// Whether only the environment may hold it.
fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key) || key_of_server(key) == Some(SERVER_SECRET)
}

/// The key in its table of [`SERVER_TABLE`].
fn key_of_server(key: &str) -> Option<&str> {
    key.strip_prefix(SERVER_TABLE)?.split_once('.').map(|(_, key)| key)
}

fn find_value<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (section, name) = key.rsplit_once('.')?;
    section.split('.').try_fold(table, |table, part| table.get(part)?.as_table())?.get(name)
}

fn parse_list(text: &str) -> Value {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(item.into())).collect())
}

/// Removes control characters, so that a message stays on one line whatever the file holds.
fn one_line(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::DialledHeader;

    fn from(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut layers = Layers::with_defaults();
        layers.merge_file(Path::new("/etc/t.toml"), text)?;
        layers.merge_environment(environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))?;
        layers.finish()
    }

    #[test]
    fn each_setting_says_where_it_comes_from_and_no_secret_is_shown() {
        let mut layers = Layers::with_defaults();
        layers
            .merge_file(
                Path::new("/etc/t.toml"),
                "[pbx]\nport = 5039\n[webhooks.urls]\ncrm = \"https://crm\"",
            )
            .unwrap();
        let variables = [
            ("TORITSUGI__PBX__HOST", "10.0.0.9"),
            ("TORITSUGI__PBX__EVENT_SECRET", "hush"),
            ("TORITSUGI__WEBHOOKS__SECRETS__crm", "hushhush"),
        ];
        layers.merge_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        let settings = layers.settings();
        let of = |key: &str| settings.iter().find(|setting| setting.key == key).unwrap();
        let port = of("pbx.port");
        assert_eq!((&port.value, &port.default), (&Some(5039.into()), &Some(5038.into())));
        assert_eq!((port.source, port.origin.as_deref()), (SettingSource::File, Some("/etc/t.toml")));
        let host = of("pbx.host");
        assert_eq!(
            (host.source, host.origin.as_deref()),
            (SettingSource::Environment, Some("TORITSUGI__PBX__HOST"))
        );
        assert_eq!(of("webhooks.urls.crm").default, None, "the installation chose the key");
        assert_eq!(of("pbx.name").source, SettingSource::Default);
        for (key, is_set) in
            [("pbx.event_secret", true), ("store.password", false), ("webhooks.secrets.crm", true)]
        {
            assert_eq!((&of(key).value, of(key).is_set), (&None, Some(is_set)), "{key}");
        }
        assert!(!serde_json::to_string(&settings).unwrap().contains("hush"));
    }

    #[test]
    fn a_server_of_accounts_has_the_keys_of_the_backup_and_paths_start_at_its_file() {
        let file = "[mail.hosts.clinic]\nhost = 'smtp.clinic.example.jp'\npassword_file = 'clinic'";
        let variable = ("TORITSUGI__MAIL__HOSTS__CLINIC__PER_MINUTE", "5");
        let config = from(file, &[variable, ("TORITSUGI__MAIL__HOSTS__clinic__PASSWORD", "hush")]).unwrap();
        let files = config.secret_files().into_iter().filter(|(key, _)| key.starts_with("mail."));
        let files: Vec<_> = files.map(|(key, file)| (key, file.to_owned())).collect();
        assert_eq!(files, [("mail.hosts.clinic.password_file".to_owned(), PathBuf::from("/etc/clinic"))]);
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn the_defaults_are_a_configuration() {
        let config = from("", &[]).unwrap();
        assert_eq!((config.pbx.host.as_str(), config.pbx.port), ("127.0.0.1", 5038));
        assert_eq!(config.pop.store_timeout.as_millis(), 200);
        assert!(config.pbx.is_operator("1001") && config.pbx.is_operator("2001"));
        assert!(!config.pbx.is_operator("10010") && !config.pbx.is_operator("carrier"));
        assert_eq!(config.gateway.body_bytes_max, 1 << 20);
        assert!(config.gateway.listen.ip().is_loopback());
        assert_eq!(config.pbx.tls.ca_file, None);
    }

    #[test]
    fn every_key_of_the_defaults_is_explained() {
        let mut explained = false;
        for line in DEFAULT_TOML.lines() {
            match line.as_bytes().first() {
                Some(b'#') => explained |= line.len() > 20,
                Some(b'[') | None => explained = false,
                Some(_) => assert!(explained, "no comment above {line}"),
            }
        }
    }

    #[test]
    fn later_layers_win() {
        let file = "[pbx]\nhost = 'pbx.example.jp'\ntrunks = ['ntt']\n[directory.default_accounts]\nntt = 'A001'\n\
             [directory.dialled_headers]\nntt = 'to'\n\
             [pbx.endpoint_extensions]\n'sato.iphone' = '1001'\n'DAHDI/3' = '1003'";
        let config = from(
            file,
            &[
                ("TORITSUGI__PBX__PORT", "5039"),
                ("TORITSUGI__PBX__TRUNKS", "ntt, kddi"),
                ("TORITSUGI__PBX__TLS__ENABLED", "true"),
                ("TORITSUGI__DIRECTORY__DEFAULT_ACCOUNTS__Kddi", "B002"),
                ("TORITSUGI__DIRECTORY__DIALLED_HEADERS__kddi", "request_uri"),
                ("TORITSUGI__PBX__NAME", "123"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!((config.pbx.host.as_str(), config.pbx.port), ("pbx.example.jp", 5039));
        assert_eq!(config.pbx.trunks, ["ntt", "kddi"]);
        assert!(config.pbx.tls.enabled);
        assert_eq!(config.pbx.name.as_str(), "123");
        assert_eq!(config.directory.default_accounts["ntt"], "A001");
        let extensions = &config.pbx.endpoint_extensions;
        assert_eq!(extensions["sato.iphone"].as_str(), "1001");
        assert_eq!(extensions["DAHDI/3"].as_str(), "1003");
        assert_eq!(config.directory.default_accounts["Kddi"], "B002");
        assert_eq!(config.directory.dialled_headers["ntt"], DialledHeader::To);
        assert_eq!(config.directory.dialled_headers["kddi"], DialledHeader::RequestUri);
    }

    /// Tests and benches start from `Default`; the daemon starts from the file.
    #[test]
    fn the_default_endpoint_names_are_those_of_the_file() {
        use crate::contract::endpoint::{EndpointNames, TRUNKS};
        let configured = from("", &[]).unwrap().endpoint_rules();
        assert_eq!(format!("{:?}", configured.endpoints), format!("{:?}", EndpointNames::default()));
        assert_eq!(configured.trunks, TRUNKS);
    }

    #[test]
    fn relative_paths_start_at_the_file_that_names_them() {
        let config = from("[store]\npath = 'data/t.db'\n[pbx.tls]\nca_file = '/abs.pem'", &[]).unwrap();
        assert_eq!(config.store.path, Path::new("/etc/data/t.db"));
        assert_eq!(config.pbx.tls.ca_file.as_deref(), Some(Path::new("/abs.pem")));
        let config = from("", &[("TORITSUGI__STORE__PATH", "here.db")]).unwrap();
        assert_eq!(config.store.path, Path::new("here.db"));
    }

    /// The text of a file, an environment, and the beginning of the expected error.
    type InvalidCase<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

    const INVALID: &[InvalidCase<'_>] = &[
        (
            "[pbx]\nport = 99999",
            &[],
            "/etc/t.toml: pbx.port: invalid value: integer `99999`, expected a whole number from 1 to 65535",
        ),
        (
            "[pbx]\nport = 'x'",
            &[],
            "/etc/t.toml: pbx.port: invalid type: string \"x\", expected a whole number from 1 to 65535",
        ),
        (
            "[pbx]\nping_seconds = -1",
            &[],
            "/etc/t.toml: pbx.ping_seconds: invalid value: integer `-1`, expected a whole number from 1 to 60",
        ),
        ("[pbx]\nhots = 'x'", &[], "/etc/t.toml: pbx.hots: unknown key; [pbx] has "),
        (
            "[pbxx]\nhost = 'x'",
            &[],
            "/etc/t.toml: pbxx.host: unknown section; the sections are bus, callflow, chat, directory, fax, gateway, log, mail, messages, operators, pbx, pop, public, reports, retention, store, supervision, transfer, voice, webhooks",
        ),
        ("[pbxx]", &[], "/etc/t.toml: pbxx: unknown key"),
        (
            "[mail.hosts.clinic]\npassword = 's3cret'",
            &[],
            "/etc/t.toml: mail.hosts.clinic.password: a secret does not belong in this file",
        ),
        ("[mail.hosts]\nclinic = 'x'", &[], "/etc/t.toml: mail.hosts.clinic: is a section"),
        ("pbx = 1", &[], "/etc/t.toml: pbx: is a section"),
        ("host = 'x'", &[], "/etc/t.toml: host: unknown key"),
        ("[pbx]\nname = 'a b'", &[], "/etc/t.toml: pbx.name: a PBX name must be"),
        ("[pbx]\nhost = ''", &[], "/etc/t.toml: pbx.host: must be 1 to 79 characters"),
        ("[pbx]\ntrunks = ['a', 'b c']", &[], "/etc/t.toml: pbx.trunks[1]: must be 1 to 79 characters"),
        (
            "[pbx]\noperator_extensions = ['1.']",
            &[],
            "/etc/t.toml: pbx.operator_extensions[0]: \"1.\" is not an extension pattern",
        ),
        (
            "[pbx]\nphone_endpoints = ['{extension}-web', 'web']",
            &[],
            "/etc/t.toml: pbx.phone_endpoints[1]: \"web\" is not a pattern of endpoint names",
        ),
        (
            "[pbx.endpoint_extensions]\nsato = 'x'",
            &[],
            "/etc/t.toml: pbx.endpoint_extensions.sato: an extension must be 1 to 20 characters of digits",
        ),
        ("[pbx]\nevent_secret = 's3cret'", &[], "/etc/t.toml: pbx.event_secret: a secret does not belong"),
        ("[pbx\n", &[], "/etc/t.toml: line 1: "),
        ("[pop]\n\nstore_wait_ms = = 3\n", &[], "/etc/t.toml: line 3: "),
        ("[gateway]\nlisten = 'localhost'", &[], "/etc/t.toml: gateway.listen: invalid socket address"),
        (
            "[gateway]\nallowed_origins = ['desk']",
            &[],
            "/etc/t.toml: gateway.allowed_origins: \"desk\" is not an origin",
        ),
        ("[store]\npath = ''", &[], "/etc/t.toml: store.path: must name a file"),
        ("[directory]\ncountry = 'Japan'", &[], "/etc/t.toml: directory.country: must be a country"),
        (
            "[directory]\ntime_zone = 'Asia/Edo'",
            &[],
            "/etc/t.toml: directory.time_zone: unknown time zone \"Asia/Edo\"",
        ),
        ("[log]\nlevel = 'a=b=c'", &[], "/etc/t.toml: log.level: must be error, warn"),
        (
            "[log]\nformat = 'xml'",
            &[],
            "/etc/t.toml: log.format: unknown variant `xml`, expected `text` or `json`",
        ),
        ("[pbx]\n\"ho\\u000ast\" = 1", &[], "/etc/t.toml: pbx.ho st: unknown key"),
        (
            "",
            &[("TORITSUGI__PBX__PORT", "many")],
            "environment variable TORITSUGI__PBX__PORT: pbx.port: invalid type",
        ),
        ("", &[("TORITSUGI__PBX", "x")], "environment variable TORITSUGI__PBX: pbx: is a section"),
        (
            "",
            &[("TORITSUGI__NOPE__X", "x")],
            "environment variable TORITSUGI__NOPE__X: nope.x: unknown section",
        ),
    ];

    #[test]
    fn an_error_is_one_line_with_origin_key_and_reason() {
        for (file, environment, expected) in INVALID {
            let message = from(file, environment).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{file:?}\n error is {message}\n expected {expected}");
            assert!(!message.contains(char::is_control) && !message.contains("s3cret"), "{message:?}");
        }
    }

    #[test]
    fn secrets_come_from_files_or_the_environment_and_stay_secret() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("event"), "from the file\nnot this\n").unwrap();
        std::fs::write(directory.path().join("empty"), "\n").unwrap();
        let file = directory.path().join("t.toml");
        std::fs::write(&file, "[pbx]\nevent_secret_file = 'event'\naction_secret_file = 'empty'").unwrap();

        let variable = ("TORITSUGI__PBX__ACTION_SECRET".to_owned(), "from outside".to_owned());
        let config = Config::from_layers(Some(&file), [variable]).unwrap();
        assert!(!format!("{config:?}").contains("from outside"));
        let credentials = config.pbx.credentials().unwrap();
        assert_eq!(credentials.events.secret.expose(), "from the file");
        assert_eq!(credentials.actions.secret.expose(), "from outside");

        let config = Config::from_layers(Some(&file), []).unwrap();
        let message = config.pbx.credentials().unwrap_err().to_string();
        assert!(
            message
                .ends_with("empty: pbx.action_secret_file: its first line is empty; it must hold the secret"),
            "{message}"
        );

        let message = from("", &[]).unwrap().pbx.credentials().unwrap_err().to_string();
        assert_eq!(
            message,
            "no secret: pbx.event_secret_file: name the file that holds it, or set TORITSUGI__PBX__EVENT_SECRET"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Config::from_layers(Some(Path::new("/nonexistent/t.toml")), []).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/t.toml: cannot be read: "), "{error}");
    }
}
