//! One call of the API: where it is, what it says of itself, what goes in and comes out, and the function that answers.

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse, Route};
use anyhow::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::asked::Asked;
use super::super::failure::{Failure, Problem};
use super::super::shared::Shared;

/// How it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// It shows.
    Get,
    /// It asks with a body, or it does something.
    Post,
}

/// One call.
pub(super) struct Operation {
    pub(super) method: Method,
    /// Behind the root, with names in braces.
    pub(super) path: &'static str,
    /// What clients call it.
    pub(super) id: &'static str,
    /// One line for people.
    pub(super) summary: &'static str,
    /// The command that does the same.
    pub(super) command: &'static str,
    /// The words of the query, or the body.
    pub(super) input: fn(&mut SchemaGenerator) -> Schema,
    pub(super) answer: fn(&mut SchemaGenerator) -> Schema,
    pub(super) mount: Box<dyn Fn() -> Route>,
}

/// No words at all.
#[derive(Debug, Clone, Copy, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Path, name, summary and command of a call.
pub(super) type About = (&'static str, &'static str, &'static str, &'static str);

/// A call that shows something; its words are in the query.
pub(super) fn get<Q, A, F, R>((path, id, summary, command): About, answer: F) -> Operation
where
    Q: DeserializeOwned + JsonSchema + 'static,
    A: Serialize + JsonSchema + 'static,
    F: Fn(Asked, Q) -> R + Copy + Send + 'static,
    R: Future<Output = Result<A>> + 'static,
{
    let handle = move |request: HttpRequest, shared: Data<Shared>| async move {
        let asked = Asked::of(&request, &shared).map_err(Problem)?;
        let words = Query::<Q>::from_query(request.query_string());
        let words = words.map_err(|error| Problem(Failure::wrong(format!("the query cannot be read: {error}"))))?;
        Ok::<_, Problem>(HttpResponse::Ok().json(answer(asked, words.into_inner()).await?))
    };
    Operation {
        method: Method::Get,
        path,
        id,
        summary,
        command,
        input: SchemaGenerator::subschema_for::<Q>,
        answer: SchemaGenerator::subschema_for::<A>,
        mount: Box::new(move || web::get().to(handle)),
    }
}

/// A call with a body. What it does beyond showing asks [`Asked::may_act`] first.
pub(super) fn post<B, A, F, R>((path, id, summary, command): About, answer: F) -> Operation
where
    B: DeserializeOwned + JsonSchema + 'static,
    A: Serialize + JsonSchema + 'static,
    F: Fn(Asked, B) -> R + Copy + Send + 'static,
    R: Future<Output = Result<A>> + 'static,
{
    let handle = move |request: HttpRequest, shared: Data<Shared>, body: Result<Bytes, actix_web::Error>| async move {
        let asked = Asked::of(&request, &shared).map_err(Problem)?;
        let body = body.map_err(|error| Problem(Failure::unreadable(&error)))?;
        let body = read(&request, &body).map_err(Problem)?;
        Ok::<_, Problem>(HttpResponse::Ok().json(answer(asked, body).await?))
    };
    Operation {
        method: Method::Post,
        path,
        id,
        summary,
        command,
        input: SchemaGenerator::subschema_for::<B>,
        answer: SchemaGenerator::subschema_for::<A>,
        mount: Box::new(move || web::post().to(handle)),
    }
}

/// A body; where there is none, an empty object.
fn read<B: DeserializeOwned>(request: &HttpRequest, body: &[u8]) -> Result<B, Failure> {
    let is_empty = body.iter().all(u8::is_ascii_whitespace);
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_empty && !is_json {
        let words = "the body must be JSON and say so: Content-Type: application/json".to_owned();
        return Err(Failure { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, words });
    }
    let body = if is_empty { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Failure::wrong(format!("the body cannot be read: {error}")))
}

/// How many: what somebody wrote, or else so many; at most so many.
pub(super) fn within(written: Option<u32>, otherwise: u32, most: u32) -> Result<u32, Failure> {
    match written.unwrap_or(otherwise) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        limit => Err(Failure::wrong(format!("limit {limit} is not from 1 to {most}"))),
    }
}
