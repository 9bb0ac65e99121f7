//! `/api/v1`: what the pages show and do, for programs. Described by itself at `/api/v1/openapi.json`.
//!
//! - [`operation`]: one call: its address, its words, the types that go in and come out. The route and the description are both made of it.
//! - [`openapi`]: the description. One file for each group of calls beside it.
//!
//! Failures are `application/problem+json`. A body is JSON and says so, which no page of another site can do unasked.

mod deadletters;
mod jobs;
mod look;
mod openapi;
mod operation;
mod query;
mod runs;
mod tables;

use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, HttpResponse, web};

use self::operation::Operation;
use super::failure::Failure;

/// Where all of it is.
pub(crate) const ROOT: &str = "/api/v1";

/// Every call.
fn operations() -> Vec<Operation> {
    let mut all = look::operations();
    all.extend(jobs::operations());
    all.extend(runs::operations());
    all.extend(tables::operations());
    all.extend(query::operations());
    all.extend(deadletters::operations());
    all.sort_by_key(|operation| operation.path);
    all
}

pub(super) fn routes(config: &mut ServiceConfig) {
    for operation in operations() {
        let address = format!("{ROOT}{}", operation.path);
        config.service(web::resource(address).route((operation.mount)()).default_service(web::route().to(not_like_that)));
    }
    config.route(&format!("{ROOT}/openapi.json"), web::get().to(describe));
}

async fn not_like_that(request: HttpRequest) -> HttpResponse {
    let words = format!("{} is not asked with {}; see {ROOT}/openapi.json", request.path(), request.method());
    Failure { status: actix_web::http::StatusCode::METHOD_NOT_ALLOWED, words }.problem()
}

async fn describe() -> HttpResponse {
    HttpResponse::Ok().json(openapi::document(&operations()))
}
