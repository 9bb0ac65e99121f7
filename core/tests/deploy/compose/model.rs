//! The compose file as Compose sees it: variables filled in, short forms taken apart.
//!
//! Assumes the forms that our files use and panics at any other, so that a new one is looked at and not skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tributary_core::settings::unit::{Kind, Time};

use crate::files;

pub(crate) const MAIN: &str = "docker-compose.yml";
pub(crate) const EXTERNAL: &str = "docker-compose.external.yml";
pub(crate) const SECRETS: &str = "docker-compose.secrets.yml";

/// `${NAME:-default}`, `${NAME:?why}` or `$NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) default: Option<String>,
    pub(crate) must_be_set: bool,
}

/// A service with its variables still in it; what is asked of it comes filled in.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) raw: Value,
}

/// `127.0.0.1:${PORT:-80}:8080`
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: String,
    pub(crate) variable: String,
    pub(crate) published: u16,
    pub(crate) target: u16,
}

/// `./folder:/inside:ro`
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
}

/// Every service of a file, in its order.
pub(crate) fn services(file: &str) -> Vec<Service> {
    let parsed = files::yaml(file);
    let all = parsed["services"].as_object().unwrap();
    all.iter().map(|(name, raw)| Service { name: name.clone(), raw: raw.clone() }).collect()
}

/// One service of the main file.
pub(crate) fn service(name: &str) -> Service {
    services(MAIN).into_iter().find(|service| service.name == name).unwrap_or_else(|| panic!("{MAIN} has no service {name}"))
}

/// The services that start when nobody asks for more.
pub(crate) fn default_services() -> Vec<Service> {
    services(MAIN).into_iter().filter(|service| service.raw["profiles"].is_null()).collect()
}

impl Service {
    /// Text at that key, filled in with what the environment lacks: defaults alone.
    pub(crate) fn text(&self, key: &str) -> String {
        scalar(&self.raw[key], &BTreeMap::new())
    }

    /// A list of texts, filled in.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let all = self.raw[key].as_array();
        all.into_iter().flatten().map(|item| scalar(item, &BTreeMap::new())).collect()
    }

    /// Its environment where nobody sets a variable.
    pub(crate) fn env(&self) -> BTreeMap<String, String> {
        self.env_with(&BTreeMap::new())
    }

    /// Its environment where these variables are set.
    pub(crate) fn env_with(&self, set: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let all = self.raw["environment"].as_object();
        all.into_iter().flatten().map(|(name, value)| (name.clone(), scalar(value, set))).collect()
    }

    pub(crate) fn ports(&self) -> Vec<Port> {
        let all = self.raw["ports"].as_array().into_iter().flatten();
        all.map(|port| port_of(port.as_str().unwrap())).collect()
    }

    pub(crate) fn mounts(&self) -> Vec<Mount> {
        self.list("volumes").iter().map(|mount| mount_of(mount)).collect()
    }

    pub(crate) fn duration(&self, key: &str) -> Duration {
        <Time as Kind<Duration>>::parse(&self.text(key)).unwrap()
    }

    /// `448m` in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let text = self.text("mem_limit");
        let number = text.strip_suffix('m').unwrap_or_else(|| panic!("{}: mem_limit `{text}` is not like 64m", self.name));
        number.parse::<u64>().unwrap() << 20
    }

    /// What the health check runs, without `CMD`.
    pub(crate) fn health(&self) -> Vec<String> {
        let test = self.raw["healthcheck"]["test"].as_array().unwrap_or_else(|| panic!("{} has no health check", self.name));
        let words: Vec<String> = test.iter().map(|word| scalar(word, &BTreeMap::new())).collect();
        assert_eq!(words[0], "CMD", "{}: a health check is a list that begins with CMD", self.name);
        words[1..].to_vec()
    }
}

fn port_of(text: &str) -> Port {
    let variable = variables_in(text).pop_last().unwrap_or_else(|| panic!("port {text} cannot be moved by a variable")).name;
    let filled = interpolate(text, &BTreeMap::new());
    let [address, published, target] = filled.split(':').collect::<Vec<_>>()[..] else { panic!("port {text}") };
    Port { address: address.into(), variable, published: published.parse().unwrap(), target: target.parse().unwrap() }
}

fn mount_of(text: &str) -> Mount {
    let parts: Vec<&str> = text.split(':').collect();
    let read_only = match parts.get(2) {
        None => false,
        Some(&"ro") => true,
        Some(other) => panic!("mount {text}: {other}?"),
    };
    Mount { source: parts[0].into(), target: parts[1].into(), read_only }
}

fn scalar(value: &Value, set: &BTreeMap<String, String>) -> String {
    match value {
        Value::String(text) => interpolate(text, set),
        Value::Number(number) => number.to_string(),
        other => panic!("{other} is not a text; quote it"),
    }
}

/// Fills in what Compose would: from `set`, else the default, else nothing. `$$` is one `$`.
pub(crate) fn interpolate(text: &str, set: &BTreeMap<String, String>) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        filled += before;
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
            continue;
        }
        let (variable, after) = variable_at(after);
        let told = set.get(&variable.name).filter(|value| !value.is_empty()).cloned();
        filled += &told.unwrap_or_else(|| interpolate(variable.default.as_deref().unwrap_or_default(), set));
        rest = after;
    }
    filled + rest
}

/// Every variable of a text, those within defaults too.
pub(crate) fn variables_in(text: &str) -> BTreeSet<Variable> {
    let (mut found, mut rest) = (BTreeSet::new(), text);
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let (variable, after) = variable_at(after);
        found.extend(variables_in(variable.default.as_deref().unwrap_or_default()));
        found.insert(variable);
        rest = after;
    }
    found
}

/// The variable behind a `$`, and what comes after it.
fn variable_at(text: &str) -> (Variable, &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let Some(inner) = text.strip_prefix('{') else {
        let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
        return (Variable { name: text[..end].into(), default: None, must_be_set: false }, &text[end..]);
    };
    let mut depth = 1;
    let end = inner.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth == 0
    });
    let end = end.unwrap_or_else(|| panic!("${text}: no end")).0;
    let (body, after) = (&inner[..end], &inner[end + 1..]);
    let (name, what) = body.split_at(body.find(|c| !is_name(c)).unwrap_or(body.len()));
    let default = what.strip_prefix(":-").map(str::to_owned);
    let must_be_set = what.starts_with(":?");
    assert!(what.is_empty() || default.is_some() || must_be_set, "${{{body}}}: only :- and :? are used here");
    (Variable { name: name.into(), default, must_be_set }, after)
}

#[test]
fn variables_are_filled_in_as_compose_does_it() {
    let set = BTreeMap::from([("SET".to_owned(), "s".to_owned()), ("EMPTY".to_owned(), String::new())]);
    let cases =
        [("a ${SET:-d} $SET b", "a s s b"), ("${X:-${SET:-d}}", "s"), ("${X:-${Y:-d}}e", "de"), ("${EMPTY:-d}$$x", "d$x")];
    for (text, filled) in cases {
        assert_eq!(interpolate(text, &set), filled, "{text}");
    }
    let names: Vec<String> = variables_in("${A:-${B:-1}} $C ${D:?why} $$E").into_iter().map(|variable| variable.name).collect();
    assert_eq!(names, ["A", "B", "C", "D"]);
}
