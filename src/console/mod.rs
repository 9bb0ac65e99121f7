//! What is asked over HTTP: the console and its API for people and their scripts, `/metrics`, `/healthz` and `/readyz` for machines.
//!
//! A tour:
//!
//! - [`guard`]: who may come in. [`shared`]: what every page has at hand. [`asked`]: what somebody asked for. [`failure`]: why there is no
//!   answer.
//! - [`shell`]: the frame of a page. [`live`]: what changes of it. [`assets`]: styles and scripts; [`squeeze`]: in fewer bytes. [`parts`]: what pages are made of.
//! - [`doing`]: what may be done to jobs and runs.
//! - [`pages`]: one file per page. [`api`]: the same for programs, with its own description.
//! - [`flow`]: how fast records move. [`lake_view`]: the tables of the lake, kept. [`kept`]: other answers, kept. [`rows`]: rows of tables
//!   and records that are not valid, read within bounds. [`letters`]: which of those somebody means.
//! - [`probes`]: for machines.
//!
//! Pages work without scripts: each is whole when it comes, and each action is a form. A page and a call of the API that do the same call
//! the same function, which is the command line's as well.

mod api;
mod asked;
mod assets;
mod doing;
mod failure;
mod flow;
mod guard;
mod kept;
mod lake_view;
mod letters;
mod live;
mod pages;
mod parts;
mod probes;
mod routes;
mod rows;
pub(crate) mod shared;
mod shell;
mod squeeze;

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use anyhow::{Context, Result};
use tributary_actors::board::Board;
use tributary_actors::telemetry::Metrics;

use self::shared::{Made, Shared};

/// The largest thing that anybody has to send: a query.
const LARGEST_BODY: usize = 64 << 10;
/// Connections at once; more wait.
const CONNECTIONS: usize = 256;
/// How long a head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);

/// Starts the server; it ends with the system it runs on. Without a console there are the pages for machines alone.
pub(crate) fn serve(listen: &str, metrics: Arc<Metrics>, boards: Vec<Board>, console: Option<Made>) -> Result<Server> {
    let shared = console.map(|made| Shared::new(made, Arc::clone(&metrics))).transpose()?.map(Data::new);
    if let Some(shared) = &shared {
        actix::spawn(watch(Data::clone(shared)));
    }
    let probed = Data::new(probes::Probed { metrics, boards });
    let server = HttpServer::new(move || {
        let shared = shared.clone();
        App::new()
            .app_data(Data::clone(&probed))
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .app_data(web::FormConfig::default().limit(LARGEST_BODY))
            .configure(probes::routes)
            .service(web::scope("").wrap(Condition::new(shared.is_some(), from_fn(guard::guard))).configure(|config| {
                if let Some(shared) = shared {
                    config.app_data(shared);
                    routes::all(config);
                }
            }))
    })
    .workers(1)
    .max_connections(CONNECTIONS)
    .client_request_timeout(HEAD)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)
    .with_context(|| format!("cannot listen on {listen}"))?;
    Ok(server.run())
}

/// Keeps how fast records move.
async fn watch(shared: Data<Shared>) {
    let mut looks = tokio::time::interval(flow::LOOK);
    loop {
        looks.tick().await;
        shared.flow.look(&shared.made.boards);
    }
}

/// Text as a part of an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A word of a command as a shell takes it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_an_address_is_the_same_text_when_it_is_read() {
        assert_eq!(encoded("SELECT 'a&b' + 1"), "SELECT%20%27a%26b%27%20%2B%201");
    }

    #[test]
    fn a_command_that_is_copied_is_one_word_where_it_should_be() {
        assert_eq!(shell_word("user_events"), "user_events");
        assert_eq!(shell_word("$(rm -rf ~)"), "'$(rm -rf ~)'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
