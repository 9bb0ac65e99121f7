//! A graph of tasks, drawn from left to right: what comes after something stands to the right of it.
//!
//! What follows from longer ways is left out, so that fifteen tasks stay readable; a line that passes a column goes through a place of
//! its own there, so that it crosses no task.

use maud::{Markup, html};

use super::shape;

/// The state of what the last run did not have.
pub(crate) const NONE: &str = "none";

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// How it was in the last run.
    pub(crate) state: String,
    /// What it comes after.
    pub(crate) after: Vec<String>,
    /// Where more is said of it.
    pub(crate) href: String,
}

/// Size of a task, and the space between two.
const WIDE: usize = 196;
const HIGH: usize = 30;
const ACROSS: usize = 36;
const DOWN: usize = 12;
/// Widths that are made to fit a screen; less fits by itself, and of more nobody could read the words. The style has the least of them.
const SHRINKS: std::ops::RangeInclusive<usize> = 1_100..=1_500;
/// Letters that fit into a task.
const LETTERS: usize = 23;

/// One place in a column: a task, or a line that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Task(usize),
    /// On the way from one task to another, in this column.
    Way(usize, usize, usize),
}

/// Draws it.
pub(crate) fn graph(name: &str, nodes: &[Node]) -> Markup {
    let after = direct(&indices(nodes));
    let columns = columns(&after);
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    let (width, height) = (columns.len() * (WIDE + ACROSS), rows * (HIGH + DOWN) + DOWN);
    let place = |slot: Slot| place(&columns, slot, height);
    html! {
        div.scroll role="region" aria-label=(name) tabindex="0" {
            svg.graph viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) data-shrinks[SHRINKS.contains(&width)] role="group" aria-label=(name) {
                @for (to, sources) in after.iter().enumerate() {
                    @for from in sources { path.edge d=(way(&columns, *from, to, &place)) {} }
                }
                @for (at, node) in nodes.iter().enumerate() {
                    @let (x, y) = place(Slot::Task(at));
                    a.node href=(node.href) data-state=(node.state) aria-label=(says(node)) {
                        title { (says(node)) }
                        rect x=(x) y=(y) width=(WIDE) height=(HIGH) rx="7" {}
                        g transform={ "translate(" (x + 8) " " (y + 8) ")" } { (shape(&node.state)) }
                        text x=(x + 28) y=(y + 20) { (crate::words::first_line(&node.name, LETTERS)) }
                    }
                }
            }
        }
    }
}

fn says(node: &Node) -> String {
    let after = if node.after.is_empty() { String::new() } else { format!(", after {}", node.after.join(", ")) };
    let state = if node.state == NONE { "not run".to_owned() } else { node.state.replace('_', " ") };
    format!("{}: {state}{after}", node.name)
}

fn indices(nodes: &[Node]) -> Vec<Vec<usize>> {
    let at = |name: &String| nodes.iter().position(|node| node.name == *name);
    nodes.iter().map(|node| node.after.iter().filter_map(at).collect()).collect()
}

/// Without what follows from longer ways. Assumes that tasks come in an order in which they can be done.
fn direct(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut before: Vec<Vec<bool>> = vec![vec![false; after.len()]; after.len()];
    for (to, sources) in after.iter().enumerate() {
        for from in sources.iter().filter(|from| **from < to) {
            let earlier = before[*from].clone();
            for (known, is) in before[to].iter_mut().zip(earlier) {
                *known |= is;
            }
            before[to][*from] = true;
        }
    }
    let is_direct = |from: &usize, sources: &[usize]| !sources.iter().any(|other| other != from && before[*other][*from]);
    after
        .iter()
        .enumerate()
        .map(|(to, sources)| sources.iter().copied().filter(|from| *from < to && is_direct(from, sources)).collect())
        .collect()
}

/// The longest way to each task is its column; lines that pass get their places; each column is sorted by where its lines come from.
fn columns(after: &[Vec<usize>]) -> Vec<Vec<Slot>> {
    let layer = layers(after);
    let mut columns: Vec<Vec<Slot>> = vec![Vec::new(); layer.iter().max().map_or(0, |last| last + 1)];
    for (task, at) in layer.iter().enumerate() {
        columns[*at].push(Slot::Task(task));
    }
    for (to, sources) in after.iter().enumerate() {
        for from in sources {
            for (at, column) in columns.iter_mut().enumerate().take(layer[to]).skip(layer[*from] + 1) {
                column.push(Slot::Way(*from, to, at));
            }
        }
    }
    for at in 1..columns.len() {
        let earlier = columns[at - 1].clone();
        let height = |slot: &Slot| middle(slot, after, &earlier);
        columns[at].sort_by(|a, b| height(a).total_cmp(&height(b)));
    }
    columns
}

fn layers(after: &[Vec<usize>]) -> Vec<usize> {
    let mut layer = vec![0; after.len()];
    for (to, sources) in after.iter().enumerate() {
        layer[to] = sources.iter().filter(|from| **from < to).map(|from| layer[*from] + 1).max().unwrap_or(0);
    }
    layer
}

/// The middle of the places in the column before from which lines come to this one.
fn middle(slot: &Slot, after: &[Vec<usize>], earlier: &[Slot]) -> f64 {
    let comes = |source: usize, to: usize| {
        let leads = |slot: &Slot| match slot {
            Slot::Task(task) => *task == source,
            Slot::Way(from, other, _) => (*from, *other) == (source, to),
        };
        earlier.iter().position(leads)
    };
    let places: Vec<usize> = match slot {
        Slot::Way(from, to, _) => comes(*from, *to).into_iter().collect(),
        Slot::Task(task) => after[*task].iter().filter_map(|source| comes(*source, *task)).collect(),
    };
    match places.is_empty() {
        true => earlier.len() as f64,
        false => places.iter().sum::<usize>() as f64 / places.len() as f64,
    }
}

/// The upper left corner of a place. Columns are centred on each other.
fn place(columns: &[Vec<Slot>], slot: Slot, height: usize) -> (usize, usize) {
    for (x, column) in columns.iter().enumerate() {
        if let Some(y) = column.iter().position(|other| *other == slot) {
            let free = height.saturating_sub(column.len() * (HIGH + DOWN) + DOWN) / 2;
            return (x * (WIDE + ACROSS) + ACROSS / 2, free + y * (HIGH + DOWN) + DOWN);
        }
    }
    (0, 0)
}

/// The line from one task to another, by way of its places in between.
fn way(columns: &[Vec<Slot>], from: usize, to: usize, place: &impl Fn(Slot) -> (usize, usize)) -> String {
    let middle = HIGH / 2;
    let (x, y) = place(Slot::Task(from));
    let mut path = format!("M{} {}", x + WIDE, y + middle);
    let mut last = (x + WIDE, y + middle);
    let passes = columns.iter().flatten().copied().filter(|slot| matches!(slot, Slot::Way(a, b, _) if (*a, *b) == (from, to)));
    for slot in passes.chain([Slot::Task(to)]) {
        let (x, y) = place(slot);
        let bend = (last.0 + x) / 2;
        path += &format!(" C{bend} {} {bend} {} {x} {}", last.1, y + middle, y + middle);
        last = (x, y + middle);
        if slot != Slot::Task(to) {
            path += &format!(" H{}", x + WIDE);
            last.0 = x + WIDE;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// check → silver → (a, b → c) → checks, and checks is said to come after everything.
    fn after() -> Vec<Vec<usize>> {
        vec![vec![], vec![0], vec![1], vec![1], vec![3], vec![0, 1, 2, 3, 4]]
    }

    #[test]
    fn the_longest_way_to_a_task_is_its_column() {
        assert_eq!(layers(&direct(&after())), [0, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn what_follows_from_longer_ways_is_not_drawn() {
        assert_eq!(direct(&after()), [vec![], vec![0], vec![1], vec![1], vec![3], vec![2, 4]]);
    }

    #[test]
    fn a_line_that_passes_a_column_has_a_place_of_its_own_there() {
        let columns = columns(&direct(&after()));
        assert_eq!(columns[3].len(), 2);
        assert!(columns[3].contains(&Slot::Way(2, 5, 3)) && columns[3].contains(&Slot::Task(4)));
        let y = |slot| place(&columns, slot, 400).1;
        assert_ne!(y(Slot::Way(2, 5, 3)), y(Slot::Task(4)));
    }

    #[test]
    fn a_line_goes_through_its_place_in_every_column_that_it_passes() {
        // 0 → 1 → 3 → 4 → 5, and 0 → 2 → 5.
        let columns = columns(&direct(&[vec![], vec![0], vec![0], vec![1], vec![3], vec![4, 2]]));
        let places = |slot| place(&columns, slot, 400);
        let path = way(&columns, 2, 5, &places);
        for at in [2, 3] {
            let (x, y) = places(Slot::Way(2, 5, at));
            assert_eq!(x, at * (WIDE + ACROSS) + ACROSS / 2);
            assert!(path.contains(&format!("{x} {} H{}", y + HIGH / 2, x + WIDE)), "column {at} is not in {path}");
        }
    }

    #[test]
    fn a_graph_names_its_tasks_and_links_them() {
        let node = |name: &str, after: &[&str]| Node {
            name: name.into(),
            state: "succeeded".into(),
            after: after.iter().map(|a| (*a).to_owned()).collect(),
            href: format!("/runs/1#task-{name}"),
        };
        let html = graph("Tasks", &[node("silver", &[]), node("<b>", &["silver", "gone"])]).into_string();
        assert!(html.contains("aria-label=\"silver: succeeded\"") && html.contains("&lt;b&gt;"), "{html}");
        assert_eq!(html.matches("class=\"edge\"").count(), 1);
        assert_eq!(says(&Node { state: NONE.into(), ..node("silver", &["check"]) }), "silver: not run, after check");
        assert!(!graph("Tasks", &[]).into_string().contains("class=\"node\""));
    }
}
