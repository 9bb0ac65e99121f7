//! What is wrong with a declaration, said so that a person can mend it without opening the manual.
//!
//! Assumes byte spans into the text that was parsed. Promises that every [`DeclarationError`] names the file, the line, the place
//! (`field amount: type`), what is wrong and what to write instead, and shows the offending line with a mark under it.

use std::fmt;
use std::ops::Range;

/// Why a declaration was refused. `Display` is the message for a person, over several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclarationError(Box<Trouble>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    file: String,
    line: usize,
    column: usize,
    width: usize,
    source_line: String,
    place: String,
    problem: String,
    help: String,
}

/// Where something was written, for an error about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as people call it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Characters before the mark.
    pub column: usize,
    /// Characters under which the mark is drawn; at least one is.
    pub width: usize,
    /// The line itself.
    pub source_line: String,
}

impl DeclarationError {
    /// For whoever finds out later than the parser what is wrong at a place. `part` is what messages call the part of the declaration.
    pub fn at(place: Place, part: impl Into<String>, problem: impl Into<String>, help: impl Into<String>) -> Self {
        let Place { file, line, column, width, source_line } = place;
        Self(Box::new(Trouble {
            file,
            line,
            column,
            width: width.max(1),
            // A tab would put the mark under the wrong place.
            source_line: source_line.replace('\t', " "),
            place: part.into(),
            problem: problem.into(),
            help: help.into(),
        }))
    }

    /// The file, as it was named to the parser.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// Where in the declaration: `topic`, `field amount: type`, `window sales: every`.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// What to write instead.
    pub fn help(&self) -> &str {
        &self.0.help
    }
}

impl fmt::Display for DeclarationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &*self.0;
        let gutter = t.line.to_string().len();
        writeln!(f, "{}, line {}: {}: {}", t.file, t.line, t.place, t.problem)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {}", t.line, t.source_line)?;
        writeln!(f, "{:gutter$} | {:indent$}{}", "", "", "^".repeat(t.width), indent = t.column)?;
        write!(f, "{:gutter$} = {}", "", t.help)
    }
}

impl std::error::Error for DeclarationError {}

/// One file's text and name, from which errors are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// An error at `span`; only the first line of the span is marked.
    pub(crate) fn error(
        &self,
        span: Range<usize>,
        place: impl Into<String>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> DeclarationError {
        let at = floor_boundary(self.text, span.start);
        let before = self.text.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        let rest = self.text.get(start..).unwrap_or_default();
        let source_line = rest.lines().next().unwrap_or_default().trim_end();
        let marked = self.text.get(at..floor_boundary(self.text, span.end)).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count().max(1);
        let at = Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or_default().chars().count(),
            width,
            source_line: source_line.to_owned(),
        };
        DeclarationError::at(at, place, problem, help)
    }
}

/// The parser may point just past the end, or (never seen) into a character.
fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `did you mean …? ` when one of the choices is close to what was written, else nothing.
pub fn did_you_mean<'a>(written: &str, choices: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = choices.into_iter().map(|c| (distance(written, c), c)).min();
    match nearest {
        Some((d, choice)) if d <= 1 + written.chars().count() / 4 => format!("did you mean `{choice}`? "),
        _ => String::new(),
    }
}

/// Edits between two words; swapping two neighbours is one edit, since it is the commonest slip. Case does not count.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let change = last[j] + usize::from(a[i] != b[j]);
            let mut best = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_edit() {
        assert_eq!(distance("tpye", "type"), 1);
        assert_eq!(distance("colum", "column"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(did_you_mean("tpye", ["name", "type"]), "did you mean `type`? ");
        assert_eq!(did_you_mean("colour", ["name", "type"]), "");
    }

    #[test]
    fn the_mark_is_under_the_place() {
        let source = Source { file: "a.toml", text: "x = 1\n\tné = true\n" };
        let e = source.error(7..10, "né", "is wrong", "write something else");
        assert_eq!(e.to_string(), "a.toml, line 2: né: is wrong\n  |\n2 |  né = true\n  |  ^^\n  = write something else");
        // Beyond the end, and into the middle of a character.
        source.error(500..900, "", "", "");
        source.error(9..9, "", "", "");
    }
}
