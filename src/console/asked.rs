//! What somebody asked for: the names in the address, the words of the query, and who it is.
//!
//! Promises that what is missing or no number is a failure that says so, never a default that nobody meant.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{Data, Query};
use percent_encoding::percent_decode_str;

use super::failure::Failure;
use super::guard;
use super::shared::Shared;

/// A question.
#[derive(Clone)]
pub(crate) struct Asked {
    /// What every page has at hand.
    pub(crate) shared: Arc<Shared>,
    /// Who asks.
    pub(crate) person: String,
    /// A page that somebody watches: only its live parts are sent, so that the others need not be made.
    pub(crate) is_live: bool,
    names: HashMap<String, String>,
    words: HashMap<String, String>,
}

impl Asked {
    pub(crate) fn of(request: &HttpRequest, shared: &Data<Shared>) -> Result<Self, Failure> {
        let name = |(name, written): (&str, &str)| {
            // Routing leaves `%2F` and the like as they are written.
            let decoded =
                percent_decode_str(written).decode_utf8().map_err(|_| Failure::not_found("the address is not UTF-8"))?;
            Ok((name.to_owned(), decoded.into_owned()))
        };
        let names = request.match_info().iter().map(name).collect::<Result<HashMap<_, _>, Failure>>()?;
        let words = Query::<HashMap<String, String>>::from_query(request.query_string());
        let words = words.map_err(|error| Failure::wrong(format!("the query of this address cannot be read: {error}")))?;
        Ok(Self {
            shared: Arc::clone(shared),
            person: guard::person(request),
            is_live: request.path().starts_with("/live/"),
            names,
            words: words.into_inner().into_iter().filter(|(_, word)| !word.is_empty()).collect(),
        })
    }

    /// Whether anything may be done through this console.
    pub(crate) fn may_act(&self) -> Result<(), Failure> {
        match self.shared.made.settings.console.read_only {
            false => Ok(()),
            true => Err(Failure::forbidden("this console is read-only (console.read_only): nothing is done through it")),
        }
    }

    /// A name in the address.
    pub(crate) fn name(&self, what: &str) -> &str {
        self.names.get(what).map_or("", String::as_str)
    }

    /// A number in the address.
    pub(crate) fn number(&self, what: &str) -> Result<i64, Failure> {
        let written = self.name(what);
        written.parse().map_err(|_| Failure::not_found(format!("`{written}` is no number of a {what}")))
    }

    /// A word of the query; none: it is not there, or empty.
    pub(crate) fn word(&self, what: &str) -> Option<&str> {
        self.words.get(what).map(String::as_str)
    }

    /// A word of the query that must be what it stands for.
    pub(crate) fn parsed<T: FromStr>(&self, what: &str) -> Result<Option<T>, Failure> {
        let parse = |word: &str| word.parse().map_err(|_| Failure::wrong(format!("`{word}` is no {what}")));
        self.word(what).map(parse).transpose()
    }
}
