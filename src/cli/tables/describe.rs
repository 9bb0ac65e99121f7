//! `tributary tables describe`: one table on one screen.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::Result;
use chrono::Utc;

use super::super::output;
use super::super::session::Session;
use crate::inspect::catalog::Catalog;
use crate::inspect::tables::{About, Described, front_matter};
use crate::words;

pub(super) async fn describe(session: &Session, catalog: &Catalog, table: &str, json: bool) -> Result<()> {
    let name = catalog.resolve(table).await?;
    let snapshot = catalog.open(&name, None).await?;
    let streams: Vec<_> = session.streams()?.into_iter().map(Arc::new).collect();
    let about = About {
        models: &front_matter(session.settings()),
        streams: &streams,
        target_file_bytes: session.settings().batch.target_file_bytes,
    };
    let described = Described::new(&name, catalog.place(&name), &snapshot, &about);
    if json {
        return output::print_json(&described);
    }
    output::print(&text(&described))
}

fn text(table: &Described) -> String {
    let listed = &table.listed;
    let now = Utc::now();
    let mut text = format!("{}\n", listed.table);
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<11} {what}");
    };
    table.description.iter().for_each(|words| line("is", words.clone()));
    line("in", table.place.clone());
    line("id", table.id.clone());
    let committed = listed.committed();
    let at = committed.map_or_else(String::new, |time| format!(" ({} UTC)", words::moment(time)));
    line("version", format!("{}, committed {}{at}", listed.version, words::ago_or(committed, now, "?")));
    line("rows", words::count(listed.rows));
    line("files", format!("{}, {}", words::count(listed.files as u64), words::bytes(listed.bytes)));
    let partitioned = table.partitioned_by.join(", ");
    line("partitioned", if partitioned.is_empty() { "no".into() } else { format!("by {partitioned}: {}", listed.span()) });
    if let Some(model) = &table.model {
        line("made", format!("{}; {}", model.how, model.file));
        if !model.key.is_empty() {
            line("key", model.key.join(", "));
        }
        model.published.iter().for_each(|table| line("published", format!("PostgreSQL: {table}")));
    }
    if let Some(stream) = &table.stream {
        line("stream", format!("{} (topic {})", stream.stream, stream.topic));
    }
    table.properties.iter().for_each(|(key, value)| line("property", format!("{key} = {value}")));
    let columns = table.columns.iter().map(|column| vec![column.name.clone(), column.kind.clone(), column.meaning.clone()]);
    text + "\n" + &output::table(&["COLUMN", "TYPE", "MEANING"], columns.collect())
}
