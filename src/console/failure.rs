//! Why there is no answer, for a person and for a program: a page with what to do, or `application/problem+json`.
//!
//! Every failure has a status of HTTP that says whose turn it is: 400 to 429 the caller's, 503 and 504 the stores'. Nothing else leaves
//! the house.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use crate::acts::{Kind, Refused};
use crate::inspect::catalog::NoTable;
use crate::inspect::why::NothingOfThatName;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) words: String,
}

impl Failure {
    fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    /// There is nothing of that name.
    pub(crate) fn not_found(words: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, words)
    }

    /// What was sent cannot be meant.
    pub(crate) fn wrong(words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, words)
    }

    /// It may not be done as things are.
    pub(crate) fn conflict(words: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, words)
    }

    /// Whoever asks may not.
    pub(crate) fn forbidden(words: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, words)
    }

    /// A body that is too large, or not in the form that it says.
    pub(crate) fn unreadable(error: &actix_web::Error) -> Self {
        let status = error.as_response_error().status_code();
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(status, "this is too large: at most 64 KiB are read"),
            _ => Self::wrong(format!("what was sent cannot be read: {error}")),
        }
    }

    /// A store does not answer.
    pub(crate) fn away(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }

    /// Too much at once.
    pub(crate) fn busy(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }

    /// It took too long.
    pub(crate) fn late(words: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, words)
    }

    /// What an error of the house is to whoever asked over HTTP.
    pub(crate) fn of(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(failure) => return failure,
            Err(error) => error,
        };
        let refused = error.downcast_ref::<Refused>().map(|refused| refused.kind);
        let status = match () {
            () if error.is::<NoTable>() || error.is::<NothingOfThatName>() => StatusCode::NOT_FOUND,
            () if refused == Some(Kind::NotFound) => StatusCode::NOT_FOUND,
            () if refused == Some(Kind::Wrong) => StatusCode::BAD_REQUEST,
            () if refused == Some(Kind::Conflict) => StatusCode::CONFLICT,
            () if matches!(error.downcast_ref(), Some(tributary_batch::Error::Refused(_))) => StatusCode::BAD_REQUEST,
            () => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, format!("{error:#}"))
    }

    /// For a program.
    pub(crate) fn problem(&self) -> HttpResponse {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({ "title": title, "status": self.status.as_u16(), "detail": self.words });
        HttpResponse::build(self.status).content_type("application/problem+json").body(body.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::of(error)
    }
}

/// Refuses a word with a NUL, which PostgreSQL takes in no text: else it would seem to be away.
pub(crate) fn without_nul(word: Option<&str>) -> Result<(), Failure> {
    match word {
        Some(word) if word.contains('\0') => Err(Failure::wrong("a NUL is no letter")),
        _ => Ok(()),
    }
}

/// What a handler of the API may end with.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) Failure);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.0.problem()
    }
}

impl<E: Into<anyhow::Error>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(Failure::of(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_can_mend_is_theirs_and_the_rest_is_the_stores() {
        let of = |error: anyhow::Error| Failure::of(error).status.as_u16();
        assert_eq!(of(Failure::conflict("it is over").into()), 409);
        assert_eq!(of(anyhow::Error::from(Failure::not_found("no run")).context("looking")), 404);
        assert_eq!(of(tributary_batch::Error::Refused("one SELECT".into()).into()), 400);
        assert_eq!(of(Refused::conflict("it is over").into()), 409);
        assert_eq!(of(Refused::no_run(7).into()), 404);
        assert_eq!(of(anyhow::Error::from(Refused::wrong("days")).context("asking")), 400);
        assert_eq!(without_nul(Some("a\0b")).unwrap_err().status, 400);
        assert!(without_nul(Some("a b")).is_ok() && without_nul(None).is_ok());
        assert_eq!(of(anyhow::anyhow!("the disk is gone")), 503);
    }
}
