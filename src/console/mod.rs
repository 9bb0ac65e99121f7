//! What is asked over HTTP: `/` (what there is), `/metrics`, `/healthz`, `/readyz`, `/status`. Loopback unless a person says otherwise.
//!
//! Healthy means that the process answers; ready means that records flow into every store. Answers say why when they are not `200`.

use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::header::ContentType;
use actix_web::web::{Data, get};
use actix_web::{App, HttpResponse, HttpServer, Responder};
use anyhow::{Context, Result};
use serde_json::json;
use tributary_actors::board::{Board, StreamState};
use tributary_actors::telemetry::Metrics;

/// What is here.
const INDEX: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Tributary</title><h1>Tributary</h1><ul>\
<li><a href=/status>status</a>: the streams, how far each store is, what waits for a person\
<li><a href=/readyz>readyz</a>: whether records flow into every store\
<li><a href=/healthz>healthz</a>: whether the process answers\
<li><a href=/metrics>metrics</a>: for Prometheus</ul>\
<p>On the command line: <code>tributary status</code>, <code>tributary jobs list</code>, <code>tributary runs list</code>, \
<code>tributary why gold.daily_active_users</code>, <code>tributary audit</code>.\n";

struct Shown {
    metrics: Arc<Metrics>,
    boards: Vec<Board>,
}

/// Starts the server; it ends with the system it runs on.
pub(crate) fn serve(listen: &str, metrics: Arc<Metrics>, boards: Vec<Board>) -> Result<Server> {
    let shown = Data::new(Shown { metrics, boards });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shown.clone())
            .route("/", get().to(|| async { HttpResponse::Ok().content_type(ContentType::html()).body(INDEX) }))
            .route("/metrics", get().to(metrics_page))
            .route("/healthz", get().to(|| async { HttpResponse::Ok().body("ok\n") }))
            .route("/readyz", get().to(ready))
            .route("/status", get().to(status))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)
    .with_context(|| format!("cannot listen on {listen}"))?;
    Ok(server.run())
}

async fn metrics_page(shown: Data<Shown>) -> impl Responder {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(shown.metrics.render())
}

async fn ready(shown: Data<Shown>) -> impl Responder {
    let streams: Vec<StreamState> = shown.boards.iter().map(Board::read).collect();
    let ready = streams.iter().all(StreamState::is_ready);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let why: Vec<_> = streams
        .iter()
        .filter(|s| !s.is_ready())
        .map(|s| json!({"stream": s.stream, "problem": s.problem, "catching_up": s.catching_up, "blocked": s.blocked}))
        .collect();
    answer.content_type(ContentType::json()).body(json!({"ready": ready, "not_ready": why}).to_string())
}

async fn status(shown: Data<Shown>) -> impl Responder {
    let streams: Vec<StreamState> = shown.boards.iter().map(Board::read).collect();
    HttpResponse::Ok().json(json!({"version": env!("CARGO_PKG_VERSION"), "streams": streams}))
}
