//! Every address of the console, on one screen; and how a page, a form and a live stream become one.

use std::collections::HashMap;

use actix_web::http::header::LOCATION;
use actix_web::web::{self, Data, Form, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use anyhow::Result;

use super::asked::Asked;
use super::failure::Failure;
use super::guard::said;
use super::shared::Shared;
use super::shell::Page;
use super::{api, assets, live, pages};

/// What a form says: names and words.
pub(crate) type Said = HashMap<String, String>;

/// What comes of a form.
pub(crate) enum Done {
    /// It is done; this page shows it.
    See(String),
    /// A page to read, and perhaps to confirm.
    Read(Box<Page>),
}

/// Whether a form changes anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It does, at once or when it is confirmed.
    Acts,
    /// It only asks.
    Asks,
}

pub(super) fn all(config: &mut ServiceConfig) {
    config.route("/assets/{name}", web::get().to(assets::serve));
    page(config, "/", pages::overview::page);
    page(config, "/streams/{stream}", pages::stream::page);
    page(config, "/health", pages::health::page);
    page(config, "/jobs", pages::jobs::page);
    page(config, "/jobs/{job}", pages::job::page);
    form(config, "/jobs/{job}/run", Kind::Asks, pages::job::run);
    form(config, "/jobs/{job}/pause", Kind::Acts, pages::job::pause);
    form(config, "/jobs/{job}/resume", Kind::Acts, pages::job::resume);
    form(config, "/jobs/{job}/backfill", Kind::Asks, pages::job::backfill);
    page(config, "/runs", pages::runs::page);
    page(config, "/runs/{run}", pages::run::page);
    form(config, "/runs/{run}/cancel", Kind::Acts, pages::run::cancel);
    form(config, "/runs/{run}/retry", Kind::Acts, pages::run::retry);
    page(config, "/runs/{run}/logs", pages::logs::page);
    config.route("/runs/{run}/logs.txt", web::get().to(pages::logs::download));
    page(config, "/tables", pages::tables::page);
    page(config, "/tables/{table}", pages::table::page);
    page(config, "/query", pages::query::page);
    form(config, "/query", Kind::Asks, pages::query::run);
    page(config, "/deadletters", pages::deadletters::page);
    form(config, "/deadletters/replay", Kind::Asks, pages::deadletters::act);
    page(config, "/settings", pages::settings::page);
    page(config, "/activity", pages::activity::page);
    api::routes(config);
    config.default_service(web::route().to(nowhere));
}

/// A page, and its live stream.
fn page<F, R>(config: &mut ServiceConfig, address: &str, show: F)
where
    F: Fn(Asked) -> R + Copy + Send + 'static,
    R: Future<Output = Result<Page>> + 'static,
{
    let once = move |request: HttpRequest, shared: Data<Shared>| async move {
        let shown = async { anyhow::Ok(show(Asked::of(&request, &shared)?).await?.answer(&request)) };
        shown.await.unwrap_or_else(|error| said(request.path(), &Failure::of(error)))
    };
    let on = move |request: HttpRequest, shared: Data<Shared>| async move {
        let begun = async {
            let asked = Asked::of(&request, &shared)?;
            // A page that is not there has no stream.
            match show(asked.clone()).await.map_err(Failure::of) {
                Err(failure) if failure.status.is_client_error() => Err(failure),
                first => live::stream(asked, first, show),
            }
        };
        begun.await.unwrap_or_else(|failure| said(request.path(), &failure))
    };
    config.route(address, web::get().to(once)).route(address, web::head().to(once));
    config.route(&format!("/live{address}"), web::get().to(on));
}

/// A form.
fn form<F, R>(config: &mut ServiceConfig, address: &str, kind: Kind, act: F)
where
    F: Fn(Asked, Said) -> R + Copy + Send + 'static,
    R: Future<Output = Result<Done>> + 'static,
{
    let once = move |request: HttpRequest, shared: Data<Shared>, body: Result<Form<Said>, actix_web::Error>| async move {
        let acted = async {
            let asked = Asked::of(&request, &shared)?;
            let words = body.map_err(|error| Failure::unreadable(&error))?.into_inner();
            if kind == Kind::Acts {
                asked.may_act()?;
            }
            act(asked, words).await
        };
        match acted.await {
            Ok(Done::See(address)) => HttpResponse::SeeOther().insert_header((LOCATION, address)).finish(),
            Ok(Done::Read(page)) => page.answer(&request),
            Err(error) => said(request.path(), &Failure::of(error)),
        }
    };
    config.route(address, web::post().to(once));
}

async fn nowhere(request: HttpRequest) -> HttpResponse {
    said(request.path(), &Failure::not_found(format!("nothing is at {}", request.path())))
}
