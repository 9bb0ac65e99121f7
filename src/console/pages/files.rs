//! The files of a table, the newest first.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use tributary_actors::lake::snapshot::Snapshot;

use super::super::parts::{ago_or, empty, table};
use super::super::shell::said_by;
use crate::inspect::files::{DataFile, newest};
use crate::words;

/// Files that are shown.
const FILES: usize = 100;

pub(super) fn html(name: &str, snapshot: &Snapshot, now: DateTime<Utc>) -> Markup {
    let (files, total) = (newest(snapshot, FILES), snapshot.files().len());
    let row = |file: &DataFile| {
        vec![
            html! { code.value { (file.path) } },
            html! { (file.day.as_deref().unwrap_or(words::NOTHING)) },
            html! { (file.rows.map_or_else(|| "?".to_owned(), words::count)) },
            html! { (words::bytes(file.bytes)) },
            ago_or(file.written(), now, "?"),
        ]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    html! {
        div.card {
            h2 { "Files" }
            @if files.is_empty() {
                (empty("There is no file", "This version of the table has no rows.", None))
            } @else {
                (table("Files", &["File", "Day", "Rows", "Size", "Written"], &[2, 3], &rows))
                @if total > files.len() { p.faint { "The newest " (files.len()) " of " (words::count(total as u64)) "." } }
            }
            (said_by(&format!("tributary tables files {name}")))
        }
    }
}
