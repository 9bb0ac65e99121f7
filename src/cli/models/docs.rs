//! `tributary models docs`: Markdown of all models.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tributary_batch::models::Models;
use tributary_core::model::Planned;

use super::super::output;
use super::graph::{Format, graph};
use super::{columns, how, readers, severity};

pub(super) fn docs(models: &Models, out: Option<&Path>) -> Result<()> {
    let Some(folder) = out else {
        let pages: Vec<String> =
            models.planned.iter().map(|planned| page(models, planned, 2, &|table| format!("`{table}`"))).collect();
        return output::print(&format!("{}\n{}", index(models, &|table| format!("`{table}`")), pages.join("\n")));
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let made = |table: &str| models.planned.iter().any(|planned| planned.model.table() == table);
    let link = |table: &str| match table.strip_prefix("gold.").filter(|_| made(table)) {
        Some(name) => format!("[`{table}`]({name}.md)"),
        None => format!("`{table}`"),
    };
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("README.md", index(models, &link))?;
    for planned in &models.planned {
        write(&format!("{}.md", planned.model.name), page(models, planned, 1, &link))?;
    }
    eprintln!("{} pages in {}", models.planned.len() + 1, folder.display());
    Ok(())
}

fn index(models: &Models, link: &dyn Fn(&str) -> String) -> String {
    let mut text = String::from("# Gold models\n\n| Table | Is | PostgreSQL |\n|---|---|---|\n");
    for planned in &models.planned {
        let model = &planned.model;
        let published = model.publish.as_ref().map_or_else(String::new, |table| format!("`gold.{table}`"));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {} | {published} |", link(&model.table()), cell(&model.description));
    }
    text + &format!("\n```mermaid\n{}```\n", graph(models, Format::Mermaid))
}

fn page(models: &Models, planned: &Planned, level: usize, link: &dyn Fn(&str) -> String) -> String {
    let model = &planned.model;
    let mut text = format!("{} {}\n\n{}\n\n", "#".repeat(level), model.table(), model.description);
    let list = |tables: &[String]| tables.iter().map(|table| link(table)).collect::<Vec<_>>().join(", ");
    let mut line = |what: String| _ = writeln!(text, "- {what}");
    line(format!("made {} from {}", how(planned), list(&planned.sources)));
    let readers = readers(models, planned);
    if !readers.is_empty() {
        line(format!("feeds {}", list(&readers)));
    }
    if !model.key.is_empty() {
        line(format!("one row per {}", model.key.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ")));
    }
    if let Some(table) = &model.publish {
        line(format!("published as PostgreSQL's `gold.{table}`"));
    }
    line(format!("file `{}`", model.file));
    text += "\n| Column | Type | Meaning |\n|---|---|---|\n";
    for [name, kind, meaning] in columns(planned) {
        let _ = writeln!(text, "| `{name}` | {kind} | {} |", cell(&meaning));
    }
    if !model.tests.is_empty() {
        text += "\n| Test | If it fails |\n|---|---|\n";
        for test in &model.tests {
            let _ = writeln!(text, "| `{}` | {} |", cell(&test.text), severity(test));
        }
    }
    text + &format!("\n```sql\n{}\n```\n", model.sql.trim())
}

/// What stands in a table must not end its cell or its line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::planned;
    use super::*;

    #[test]
    fn every_model_has_a_page_and_pages_link_to_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let models = Models {
            planned: vec![
                planned("days", &["silver.user_events"], "-- column event_date: the day | UTC\n"),
                planned("dau", &["gold.days"], "-- publish: gold.daily\n-- test warn: unique(event_date)\n"),
            ],
            ..Models::default()
        };
        docs(&models, Some(folder.path())).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("README.md").contains("| [`gold.dau`](dau.md) | About dau | `gold.daily` |"), "{}", read("README.md"));
        let page = read("dau.md");
        for words in
            ["# gold.dau\n", "from [`gold.days`](days.md)", "| `unique(event_date)` | a warning |", "```sql\nSELECT event_date"]
        {
            assert!(page.contains(words), "{words} is not in:\n{page}");
        }
        assert!(read("days.md").contains("| `event_date` | date | the day \\| UTC |"), "{}", read("days.md"));
        assert!(read("days.md").contains("- feeds [`gold.dau`](dau.md)"));
    }
}
