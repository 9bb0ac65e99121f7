//! `tributary models graph`: what is made from what, as text or for Mermaid.

use std::collections::BTreeSet;
use std::sync::Arc;

use tributary_batch::models::Models;
use tributary_core::model::Planned;

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A tree for each source
    Text,
    /// A flowchart for Mermaid
    Mermaid,
}

pub(super) fn graph(models: &Models, format: Format) -> String {
    match format {
        Format::Text => text(&models.planned),
        Format::Mermaid => mermaid(&models.planned),
    }
}

/// From each table that no model makes down to what is made from it. A model with several sources stands under each of them; what is
/// under it is drawn once.
fn text(models: &[Arc<Planned>]) -> String {
    let made: BTreeSet<String> = models.iter().map(|planned| planned.model.table()).collect();
    let roots: BTreeSet<&String> =
        models.iter().flat_map(|planned| &planned.sources).filter(|source| !made.contains(*source)).collect();
    let (mut text, mut drawn) = (String::new(), BTreeSet::new());
    for root in roots {
        text += &format!("{root}\n");
        branch(models, root, "", &mut drawn, &mut text);
    }
    text
}

fn branch(models: &[Arc<Planned>], table: &str, indent: &str, drawn: &mut BTreeSet<String>, text: &mut String) {
    let readers: Vec<_> = models.iter().filter(|planned| planned.sources.iter().any(|source| source == table)).collect();
    for (n, planned) in readers.iter().enumerate() {
        let last = n + 1 == readers.len();
        let name = planned.model.table();
        let published = planned.model.publish.as_ref().map_or_else(String::new, |table| format!(" → PostgreSQL gold.{table}"));
        let again = !drawn.insert(name.clone());
        let more = again && models.iter().any(|planned| planned.sources.contains(&name));
        *text +=
            &format!("{indent}{}{name}{published}{}\n", if last { "└─ " } else { "├─ " }, if more { " (see above)" } else { "" });
        if !again {
            let indent = format!("{indent}{}", if last { "   " } else { "│  " });
            branch(models, &name, &indent, drawn, text);
        }
    }
}

fn mermaid(models: &[Arc<Planned>]) -> String {
    let mut text = String::from("flowchart LR\n");
    let id = |table: &str| table.replace('.', "_");
    let tables: BTreeSet<String> =
        models.iter().flat_map(|planned| planned.sources.iter().cloned().chain([planned.model.table()])).collect();
    for table in &tables {
        text += &format!("    {}[\"{table}\"]\n", id(table));
    }
    for planned in models {
        let name = planned.model.table();
        for source in &planned.sources {
            text += &format!("    {} --> {}\n", id(source), id(&name));
        }
        if let Some(published) = &planned.model.publish {
            text += &format!("    {} --> pg_{published}[(\"PostgreSQL gold.{published}\")]\n", id(&name));
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use tributary_core::model::Model;

    use super::*;

    pub(in crate::cli::models) fn planned(name: &str, sources: &[&str], more: &str) -> Arc<Planned> {
        let text =
            format!("-- description: About {name}\n-- materialize: by_day\n-- key: event_date\n{more}SELECT event_date FROM x");
        let schema =
            arrow_schema::Schema::new(vec![arrow_schema::Field::new("event_date", arrow_schema::DataType::Date32, true)]);
        Arc::new(Planned {
            model: Model::parse(&text, &format!("{name}.sql")).unwrap(),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            tested_with: Vec::new(),
            schema: schema.into(),
        })
    }

    fn models() -> Vec<Arc<Planned>> {
        vec![
            planned("days", &["silver.user_events"], ""),
            planned("dau", &["gold.days"], "-- publish: gold.daily\n"),
            planned("both", &["gold.days", "silver.orders"], ""),
            planned("more", &["gold.both"], ""),
        ]
    }

    #[test]
    fn a_tree_begins_at_what_no_model_makes_and_draws_each_branch_once() {
        let expected = "\
silver.orders
└─ gold.both
   └─ gold.more
silver.user_events
└─ gold.days
   ├─ gold.dau → PostgreSQL gold.daily
   └─ gold.both (see above)
";
        assert_eq!(text(&models()), expected);
    }

    #[test]
    fn mermaid_has_a_node_for_each_table_and_an_edge_for_each_source() {
        let drawn = mermaid(&models());
        assert!(drawn.starts_with("flowchart LR\n") && drawn.contains("    silver_orders --> gold_both\n"), "{drawn}");
        assert!(drawn.contains("gold_dau --> pg_daily[(\"PostgreSQL gold.daily\")]"), "{drawn}");
        assert_eq!(drawn.matches("[\"").count(), 6, "{drawn}");
    }
}
