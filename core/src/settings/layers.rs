//! Flags over environment over file over defaults.
//!
//! A function of its arguments: whoever calls it has read the environment, the file and the clock. Promises that every value
//! of the [`Loaded`] settings knows where it came from, that unknown names and unreadable values are refused with the place and
//! what to write there, and that all of them are reported at once.

use std::collections::BTreeMap;
use std::fmt;

use super::table::{self, OPEN, OTHER_ENV, Row, TABLE, UNUSED_ENV};
use super::{Settings, file, postgres_url, validate};
use crate::declare::did_you_mean;

/// Where a value came from. The order is the precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// Line of the file.
    File(String, usize),
    /// Name in the environment.
    Environment(String),
    /// Flag as it was written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File(name, line) => write!(f, "file {name}:{line}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Origin {
    /// Precedence alone: two names of the environment are equally strong.
    fn rank(&self) -> u8 {
        match self {
            Origin::Default => 0,
            Origin::File(..) => 1,
            Origin::Environment(_) => 2,
            Origin::Flag(_) => 3,
        }
    }
}

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As the person wrote it: `--rate`.
    pub flag: String,
    /// Dotted name of the setting.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// Everything that may say something.
pub struct Layers<'a> {
    /// Where nobody says anything.
    pub defaults: Settings,
    /// Name and text of the file.
    pub file: Option<(&'a str, &'a str)>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The command line.
    pub flags: Vec<Flag>,
    /// Reads the file that a `<NAME>_FILE` points to.
    pub read_secret: &'a dyn Fn(&str) -> Result<String, String>,
}

/// Settings, each with its origin.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values, validated.
    pub settings: Settings,
    /// What a person should know although it is no error.
    pub notes: Vec<String>,
    origins: BTreeMap<String, Origin>,
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Dotted name.
    pub name: String,
    /// Masked; none: not set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
    /// What it is for; empty for another program's property.
    pub help: &'static str,
}

impl Loaded {
    /// Where the value of that dotted name came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    /// Whether nobody said anything about that setting.
    pub fn is_default(&self, name: &str) -> bool {
        self.origin(name) == Origin::Default
    }

    /// Every setting as a person may see it.
    pub fn shown(&self) -> Vec<Shown> {
        let listed = TABLE.iter().map(|row| (row.name.to_owned(), row.show(&self.settings), row.help));
        let open = table::open_values(&self.settings).into_iter().map(|(name, value)| (name, Some(value), ""));
        listed.chain(open).map(|(name, value, help)| Shown { origin: self.origin(&name), name, value, help }).collect()
    }
}

/// Why the settings were refused: one line per mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Refused(pub Vec<String>);

/// Lays the layers over each other, weakest first.
pub fn from_layers(layers: Layers<'_>) -> Result<Loaded, Refused> {
    let mut all =
        Merge { loaded: Loaded { settings: layers.defaults, notes: Vec::new(), origins: BTreeMap::new() }, mistakes: Vec::new() };
    if let Some((name, text)) = layers.file {
        match file::parse(text) {
            Ok(entries) => entries.into_iter().for_each(|e| all.put(&e.name, &e.value, Origin::File(name.to_owned(), e.line))),
            Err(broken) => all.mistakes.push(format!("{name}:{}: {}", broken.line, broken.message)),
        }
    }
    all.environment(&layers.env, layers.read_secret);
    for flag in layers.flags {
        all.put(&flag.name, &flag.value, Origin::Flag(flag.flag));
    }
    all.derive();
    if all.mistakes.is_empty() {
        for (name, message) in validate::mistakes(&all.loaded.settings) {
            let place = all.place(name);
            all.mistakes.push(format!("{place}: {message}"));
        }
    }
    if all.mistakes.is_empty() { Ok(all.loaded) } else { Err(Refused(all.mistakes)) }
}

struct Merge {
    loaded: Loaded,
    mistakes: Vec<String>,
}

impl Merge {
    fn put(&mut self, name: &str, value: &str, origin: Origin) {
        match table::set(&mut self.loaded.settings, name, value) {
            Some(Ok(())) => {
                self.loaded.origins.insert(name.to_owned(), origin);
            }
            Some(Err(message)) => {
                // What cannot be read of a secret is not repeated.
                let secret = table::row(name).is_some_and(|row| row.secret);
                let message = if secret { "cannot be read".to_owned() } else { message };
                self.mistakes.push(format!("{}: {name}: {message}", bare(&origin)));
            }
            None => {
                let names = TABLE.iter().map(|row| row.name);
                let hint = suggestion(name, names, "`tributary config show` lists all settings");
                self.mistakes.push(format!("{}: unknown setting `{name}`; {hint}", bare(&origin)));
            }
        }
    }

    fn environment(&mut self, env: &[(String, String)], read_secret: &dyn Fn(&str) -> Result<String, String>) {
        // An empty variable is how compose files write "not set".
        let env: BTreeMap<&str, &str> =
            env.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        for row in TABLE {
            let said = said_of(row, &env, read_secret).unwrap_or_else(|mistake| {
                self.mistakes.push(mistake);
                None
            });
            if let Some((name, value)) = said {
                self.put(row.name, &value, Origin::Environment(name));
            }
        }
        for (name, why) in UNUSED_ENV.iter().filter(|(name, _)| env.contains_key(name)) {
            self.loaded.notes.push(format!("{name} is accepted and unused: {why}"));
        }
        let known: Vec<String> = TABLE.iter().flat_map(Row::env_names).collect();
        for name in env.keys().filter(|name| name.starts_with("TRIBUTARY_") && !OTHER_ENV.contains(name)) {
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            if !known.iter().any(|known| known == plain || known == name) {
                let hint = suggestion(name, known.iter().map(String::as_str), "`tributary config show` lists all settings");
                self.loaded.notes.push(format!("{name} in the environment is no setting; {hint}"));
            }
        }
    }

    /// What follows from other settings.
    fn derive(&mut self) {
        let loaded = &mut self.loaded;
        if loaded.is_default("lake.url") {
            loaded.settings.lake.url = format!("{}/lakehouse", loaded.settings.data_dir.trim_end_matches('/'));
        }
        if loaded.is_default("batch.spill_dir") {
            loaded.settings.batch.spill_dir = format!("{}/spill", loaded.settings.data_dir.trim_end_matches('/'));
        }
        let (by_url, by_host) = (loaded.origin("serving.database_url"), loaded.origin("serving.host"));
        if let Some(host) = loaded.settings.serving.host.clone().filter(|_| by_host.rank() > by_url.rank()) {
            loaded.settings.serving.database_url = Some(postgres_url::compose(&host, &loaded.settings.serving));
            loaded.origins.insert("serving.database_url".into(), by_host);
        } else if let Some(url) = loaded.settings.serving.database_url.take() {
            if by_host != Origin::Default {
                loaded.notes.push(format!("serving.host ({by_host}) is unused: serving.database_url ({by_url}) says it all"));
            }
            loaded.settings.serving.database_url = Some(postgres_url::with_tls(url, &loaded.settings.serving));
        } else {
            for name in ["serving.database", "serving.user", "serving.sslmode", "serving.sslrootcert"] {
                if !loaded.is_default(name) {
                    let origin = loaded.origin(name);
                    let embedded = "the embedded PostgreSQL has database `serving` and user `platform`, on loopback";
                    loaded.notes.push(format!("{name} ({origin}) is unused without serving.host: {embedded}"));
                }
            }
        }
    }

    /// `file tributary.toml:12: kafka.partitions`, or the name alone when nobody said anything.
    fn place(&self, name: &str) -> String {
        match self.loaded.origin(name) {
            Origin::Default => name.to_owned(),
            origin => format!("{}: {name}", bare(&origin)),
        }
    }
}

/// What the environment says of one setting: the name that said it and the value.
fn said_of(
    row: &Row,
    env: &BTreeMap<&str, &str>,
    read_secret: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Option<(String, String)>, String> {
    let mut said: Vec<(String, String)> = Vec::new();
    for name in row.env_names() {
        if let Some(value) = env.get(name.as_str()) {
            said.push((name.clone(), (*value).to_owned()));
        }
        let twin = format!("{name}_FILE");
        if let Some(path) = env.get(twin.as_str()).filter(|_| row.secret) {
            let secret = read_secret(path).map_err(|error| format!("environment {twin}: cannot read {path}: {error}"))?;
            said.push((twin, secret.trim_end_matches(['\r', '\n']).to_owned()));
        }
    }
    match said.as_slice() {
        [(first, value), rest @ ..] => match rest.iter().find(|(_, other)| other != value) {
            Some((second, _)) => {
                Err(format!("environment {first} and {second} both set {} and differ; keep one of them", row.name))
            }
            None => Ok(said.into_iter().next()),
        },
        [] => Ok(None),
    }
}

/// As compilers write it: `tributary.toml:12`.
fn bare(origin: &Origin) -> String {
    match origin {
        Origin::File(name, line) => format!("{name}:{line}"),
        other => other.to_string(),
    }
}

/// `did you mean …?` where something is close enough, else `otherwise`.
fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    match did_you_mean(word, known).trim_end() {
        "" if OPEN.iter().any(|prefix| prefix.trim_end_matches('.') == word) => "it is a table: name what is in it".into(),
        "" => otherwise.to_owned(),
        hint => hint.to_owned(),
    }
}
