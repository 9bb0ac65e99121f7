//! PromQL as far as a lint needs it: which series are selected, by which labels, over which range, inside of which calls.
//!
//! Refuses what is plainly broken (brackets, strings, functions that do not exist). Whether Prometheus takes an expression is asked of
//! Prometheus, in tests/e2e and by promtool.

/// One selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) name: String,
    /// Label, operator, value.
    pub(super) matchers: Vec<[String; 3]>,
    /// What is between the square brackets.
    pub(super) range: Option<String>,
    /// Calls around it, outermost first.
    pub(super) calls: Vec<String>,
    /// Labels that aggregations around it keep.
    pub(super) by: Vec<String>,
}

const AGGREGATIONS: [&str; 12] =
    ["sum", "min", "max", "avg", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"];
const FUNCTIONS: [&str; 32] = [
    "rate",
    "irate",
    "increase",
    "delta",
    "deriv",
    "changes",
    "resets",
    "histogram_quantile",
    "label_replace",
    "label_join",
    "vector",
    "scalar",
    "time",
    "abs",
    "ceil",
    "floor",
    "round",
    "clamp",
    "clamp_min",
    "clamp_max",
    "absent",
    "absent_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "predict_linear",
    "timestamp",
    "sgn",
];
const WORDS: [&str; 9] = ["and", "or", "unless", "bool", "offset", "inf", "nan", "Inf", "NaN"];
const MATCHINGS: [&str; 4] = ["on", "ignoring", "group_left", "group_right"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Range(String),
    Sign(char),
}

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => 2 + rest[1..].find(first).ok_or("a string is not closed")?,
            '[' => 1 + rest.find(']').ok_or("a range is not closed")?,
            '#' => rest.find('\n').unwrap_or(rest.len()),
            c if c.is_alphanumeric() || "_:$.".contains(c) => {
                rest.find(|c: char| !(c.is_alphanumeric() || "_:$.".contains(c))).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '"' | '\'' | '`' => found.push(Token::Text(token[1..length - 1].to_owned())),
            '[' => found.push(Token::Range(token[1..length - 1].to_owned())),
            '#' => {}
            c if c.is_whitespace() => {}
            c if c.is_alphanumeric() || "_:$.".contains(c) => found.push(Token::Word(token.to_owned())),
            c => found.push(Token::Sign(c)),
        }
        rest = after;
    }
    Ok(found)
}

struct Call {
    name: Option<String>,
    by: Vec<String>,
    /// Selectors before it.
    from: usize,
}

#[derive(Default)]
struct Reader {
    tokens: Vec<Token>,
    at: usize,
    open: Vec<Call>,
    found: Vec<Selector>,
}

/// Every selector of an expression, in order.
pub(super) fn selectors(expression: &str) -> Result<Vec<Selector>, String> {
    let mut reader = Reader { tokens: tokens(expression)?, ..Reader::default() };
    while let Some(token) = reader.next() {
        match token {
            Token::Word(word) => reader.word(word)?,
            Token::Sign('(') => reader.open(None, Vec::new()),
            Token::Sign(')') => reader.close()?,
            Token::Sign('{') => return Err("a selector without a name".to_owned()),
            Token::Sign('}' | ']') => return Err("a bracket that was never opened".to_owned()),
            Token::Text(_) | Token::Range(_) | Token::Sign(_) => {}
        }
    }
    if reader.open.is_empty() { Ok(reader.found) } else { Err("a bracket is not closed".to_owned()) }
}

impl Reader {
    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn sees(&self, sign: char) -> bool {
        self.tokens.get(self.at) == Some(&Token::Sign(sign))
    }

    fn open(&mut self, name: Option<String>, by: Vec<String>) {
        self.open.push(Call { name, by, from: self.found.len() });
    }

    fn close(&mut self) -> Result<(), String> {
        let call = self.open.pop().ok_or("a bracket that was never opened")?;
        let by = self.grouping()?;
        self.found[call.from..].iter_mut().for_each(|selector| selector.by.extend(by.iter().cloned()));
        Ok(())
    }

    /// `by (a, b)`, if it comes next; of `without (…)` nothing can be said.
    fn grouping(&mut self) -> Result<Vec<String>, String> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else { return Ok(Vec::new()) };
        let keeps = match word.as_str() {
            "by" => true,
            "without" => false,
            _ => return Ok(Vec::new()),
        };
        self.at += 1;
        let labels = self.labels()?;
        Ok(if keeps { labels } else { Vec::new() })
    }

    /// `(a, b)`.
    fn labels(&mut self) -> Result<Vec<String>, String> {
        let mut labels = Vec::new();
        if self.next() != Some(Token::Sign('(')) {
            return Err("labels without a bracket".to_owned());
        }
        loop {
            match self.next() {
                Some(Token::Word(label)) => labels.push(label),
                Some(Token::Sign(',')) => {}
                Some(Token::Sign(')')) => return Ok(labels),
                other => return Err(format!("{other:?} among labels")),
            }
        }
    }

    fn word(&mut self, word: String) -> Result<(), String> {
        let known = |words: &[&str]| words.contains(&word.as_str());
        if known(&AGGREGATIONS) {
            let by = self.grouping()?;
            if self.next() != Some(Token::Sign('(')) {
                return Err(format!("{word} of nothing"));
            }
            self.open(Some(word), by);
        } else if known(&MATCHINGS) {
            if self.sees('(') {
                self.labels()?;
            }
        } else if known(&WORDS) || word.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            // Neither a series nor a call, whatever comes after it.
        } else if self.sees('(') {
            if !known(&FUNCTIONS) {
                return Err(format!("no function {word}"));
            }
            self.at += 1;
            self.open(Some(word), Vec::new());
        } else {
            self.selector(word)?;
        }
        Ok(())
    }

    fn selector(&mut self, name: String) -> Result<(), String> {
        let mut matchers = Vec::new();
        if self.sees('{') {
            self.at += 1;
            while !self.sees('}') {
                matchers.push(self.matcher()?);
                if self.sees(',') {
                    self.at += 1;
                }
            }
            self.at += 1;
        }
        let range = match self.tokens.get(self.at) {
            Some(Token::Range(range)) => Some(range.clone()),
            _ => None,
        };
        let calls = self.open.iter().filter_map(|call| call.name.clone()).collect();
        let by = self.open.iter().flat_map(|call| call.by.iter().cloned()).collect();
        self.found.push(Selector { name, matchers, range, calls, by });
        Ok(())
    }

    fn matcher(&mut self) -> Result<[String; 3], String> {
        let Some(Token::Word(label)) = self.next() else { return Err("a matcher without a label".to_owned()) };
        let mut operator = String::new();
        loop {
            match self.next() {
                Some(Token::Sign(sign @ ('=' | '!' | '~'))) => operator.push(sign),
                Some(Token::Text(value)) if ["=", "!=", "=~", "!~"].contains(&operator.as_str()) => {
                    return Ok([label, operator, value]);
                }
                other => return Err(format!("{label}{operator} and then {other:?}")),
            }
        }
    }
}

#[test]
fn selectors_are_found_with_what_is_around_them() {
    let found = selectors(r#"sum by (leg) (rate(a_total{job=~"$job", leg!="x"}[$__rate_interval])) / on (leg) max(b) by (leg) > bool 1e9 or (vector(0))"#).unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].name.as_str(), found[0].range.as_deref()), ("a_total", Some("$__rate_interval")));
    assert_eq!(found[0].matchers, [["job", "=~", "$job"], ["leg", "!=", "x"]].map(|matcher| matcher.map(str::to_owned)));
    assert_eq!((&found[0].calls, &found[0].by), (&words(&["sum", "rate"]), &words(&["leg"])));
    assert_eq!((found[1].name.as_str(), &found[1].by), ("b", &words(&["leg"])));
}

#[test]
fn what_is_broken_is_refused() {
    for broken in ["sum(a", "sum(a))", "rats(a)", "a{job=\"x}", "a{job}", "a[5m", "{job=\"x\"}", "sum by leg (a)"] {
        assert!(selectors(broken).is_err(), "{broken}");
    }
}
