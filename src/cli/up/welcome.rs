//! What a person sees first: where everything is, and what to try next.

use std::collections::BTreeSet;
use std::fmt::Write;

use tributary_core::settings::{DEMO_PASSWORD, Role, postgres_url};
use tributary_core::stream::Stream;

use super::parts::Parts;

/// The whole page, for stdout.
pub(crate) fn text(parts: &Parts, roles: &BTreeSet<Role>, streams: &[Stream]) -> String {
    let settings = &parts.settings;
    let mut text = String::from("\nTributary is up.\n\n");
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<11} {what}");
    };
    let kafka = settings.kafka.bootstrap_servers.as_deref().unwrap_or_default();
    let at_home = |folder: &str| format!("embedded, in {}", parts.data_dir.join(folder).display());
    match parts.broker() {
        Some(_) => line("Kafka", format!("{kafka}  ({})", at_home("kafka"))),
        None => line("Kafka", kafka.to_owned()),
    }
    let stores = roles.iter().any(|role| *role != Role::Generator);
    let psql = settings.serving.database_url.as_deref().filter(|_| stores).map(|url| format!("psql '{}'", printable(url)));
    if let Some(psql) = &psql {
        match parts.postgres() {
            Some(server) => line("PostgreSQL", format!("{}  ({})", server.address(), at_home("postgres"))),
            None => line("PostgreSQL", "yours".into()),
        }
        line("", psql.clone());
    }
    if roles.contains(&Role::Bronze) {
        line("Lake", settings.lake.url.clone());
    }
    if roles.contains(&Role::Console) {
        line("Console", format!("http://{}", settings.http.listen));
    }
    line("Metrics", format!("http://{}/metrics", settings.http.listen));
    if let Some(prometheus) = parts.prometheus() {
        line("Prometheus", format!("http://{}  (alerts: /alerts)", prometheus.address()));
    }
    let topics: Vec<&str> = streams.iter().map(|stream| stream.topic.as_str()).collect();
    line("Topics", topics.join(", "));
    if roles.contains(&Role::Generator) {
        line("Traffic", format!("{} made-up events per second", settings.generator.events_per_second));
    }
    text.push_str("\nTry next, in another terminal:\n\n");
    let me = called_as(std::env::args());
    let _ = writeln!(text, "  {me} status");
    let table = streams.iter().find_map(|stream| stream.windows.first()).map(|window| &window.table);
    if let (Some(psql), Some(table)) = (&psql, table) {
        let _ = writeln!(text, "  {psql} -c 'SELECT * FROM realtime.{table} ORDER BY window_start DESC LIMIT 8'");
    }
    if let (Some(_), Some(topic)) = (parts.broker(), topics.first()) {
        let _ = writeln!(text, "  kcat -b {kafka} -t {topic} -C -o -5 -c 5");
    }
    if stores {
        let _ = writeln!(text, "  {me} audit");
    }
    text.push_str("\nCtrl-C stops it; the data stays.\n\n");
    text
}

/// How to call this program again for the same folders: with the flags that say where they are.
fn called_as(arguments: impl IntoIterator<Item = String>) -> String {
    let mut arguments = arguments.into_iter();
    let mut words = vec![arguments.next().unwrap_or_else(|| "tributary".into())];
    while let Some(argument) = arguments.next() {
        let (flag, value) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if ["--data", "--config", "--streams"].contains(&flag.as_str())
            && let Some(value) = value.or_else(|| arguments.next())
        {
            words.extend([flag, if value.contains([' ', '\'']) { format!("{value:?}") } else { value }]);
        }
    }
    words.join(" ")
}

/// The demo's password is everybody's and makes the line work as it is; any other is masked.
fn printable(url: &str) -> String {
    match url.contains(&format!(":{DEMO_PASSWORD}@")) {
        true => url.to_owned(),
        false => postgres_url::masked(url).replace(":***@", "@"),
    }
}

#[cfg(test)]
mod tests {
    use super::called_as;

    #[test]
    fn what_is_to_be_tried_next_finds_the_same_folders() {
        let words = |text: &str| called_as(text.split('|').map(str::to_owned));
        assert_eq!(words("tributary|up"), "tributary");
        assert_eq!(words("./t|up|--data|d 1|--rate|5|--streams=s"), "./t --data \"d 1\" --streams s");
    }
}
