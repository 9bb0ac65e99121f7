//! What machines ask: `/metrics`, `/healthz`, `/readyz`, `/status`.
//!
//! Healthy means that the process answers; ready means that records flow into every store. Answers say why when they are not `200`.

use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::web::{Data, ServiceConfig, get};
use actix_web::{HttpResponse, Responder};
use serde_json::json;
use tributary_actors::board::{Board, StreamState};
use tributary_actors::telemetry::Metrics;

/// What they are told.
pub(super) struct Probed {
    pub(super) metrics: Arc<Metrics>,
    pub(super) boards: Vec<Board>,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/metrics", get().to(metrics_page))
        .route("/healthz", get().to(|| async { HttpResponse::Ok().body("ok\n") }))
        .route("/readyz", get().to(ready))
        .route("/status", get().to(status));
}

async fn metrics_page(probed: Data<Probed>) -> impl Responder {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(probed.metrics.render())
}

async fn ready(probed: Data<Probed>) -> impl Responder {
    let streams: Vec<StreamState> = probed.boards.iter().map(Board::read).collect();
    let ready = streams.iter().all(StreamState::is_ready);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let why: Vec<_> = streams
        .iter()
        .filter(|s| !s.is_ready())
        .map(|s| json!({"stream": s.stream, "problem": s.problem, "catching_up": s.catching_up, "blocked": s.blocked}))
        .collect();
    answer.content_type(ContentType::json()).body(json!({"ready": ready, "not_ready": why}).to_string())
}

async fn status(probed: Data<Probed>) -> impl Responder {
    let streams: Vec<StreamState> = probed.boards.iter().map(Board::read).collect();
    HttpResponse::Ok().json(json!({"version": env!("CARGO_PKG_VERSION"), "streams": streams}))
}
