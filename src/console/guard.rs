//! Who may come in, and how much at once.
//!
//! Loopback is open to whoever is on this machine, by a name of this machine only: a page of a stranger that has its own name point here
//! is turned away. Beyond loopback, or where a token is set, nothing is shown without it. What changes something must come from a page
//! of ours or from a program, be small, and not come too often.
//!
//! `/metrics`, `/healthz` and `/readyz` are for machines in the house and are not guarded.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tributary_core::settings::validate::is_loopback;

use super::failure::Failure;
use super::shared::Shared;
use super::shell;

/// A request that takes longer ends: a query, or somebody who sends a letter a minute.
const LONGEST: Duration = Duration::from_secs(60);
/// Things that may be done at once, and that come back each second.
const BURST: f64 = 30.0;
const PER_SECOND: f64 = 10.0;
/// Nothing of a page may come from elsewhere, and no other page may show it in a frame.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'";

/// What a token is compared by: the comparison of two digests tells nothing of the token.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// How often something may be done.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<(f64, Instant)>);

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new((BURST, Instant::now())))
    }
}

impl Pace {
    fn allows(&self) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let left = (kept.0 + (now - kept.1).as_secs_f64() * PER_SECOND).min(BURST);
        let allowed = left >= 1.0;
        *kept = (if allowed { left - 1.0 } else { left }, now);
        allowed
    }
}

/// The door: every request to the console comes through here.
pub(crate) async fn guard(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(shared) = request.app_data::<Data<Shared>>().cloned() else { return next.call(request).await };
    let refused = admit(request.request(), &shared).err();
    // The request itself must not be held here: routing wants it for itself.
    let path = request.path().to_owned();
    let mut answer = match refused {
        Some(failure) => request.into_response(said(&path, &failure)),
        None => match tokio::time::timeout(LONGEST, next.call(request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                let late = Failure::late(format!("this took longer than {} s and was given up", LONGEST.as_secs()));
                let mut answer = said(&path, &late);
                protect(answer.headers_mut());
                return Err(InternalError::from_response(late, answer).into());
            }
        },
    };
    protect(answer.headers_mut());
    Ok(answer)
}

/// What every answer says to the browser.
fn protect(headers: &mut header::HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // `no-referrer` would make a browser hide the origin of our own forms as well.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// A failure in the form that whoever asked can read.
pub(crate) fn said(path: &str, failure: &Failure) -> HttpResponse {
    let mut answer = match path.starts_with("/api/") {
        true => failure.problem(),
        false => shell::failure(path, failure),
    };
    if failure.status == StatusCode::UNAUTHORIZED {
        let challenge =
            HeaderValue::from_static("Basic realm=\"Tributary: any user, and the token as password\", charset=\"UTF-8\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if matches!(failure.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    answer
}

fn admit(request: &HttpRequest, shared: &Shared) -> Result<(), Failure> {
    let headers = request.headers();
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has it in the URI; nothing speaks that to us.
    let host = text(header::HOST).unwrap_or_default();
    match &shared.token {
        // A browser asks without one first; that is no guess.
        Some(token) if !shows(text(header::AUTHORIZATION), token) => {
            if headers.contains_key(header::AUTHORIZATION) && !shared.guesses.allows() {
                let words = "too many wrong tokens came in; try again in some seconds".to_owned();
                return Err(Failure { status: StatusCode::TOO_MANY_REQUESTS, words });
            }
            let words = "the console asks for its token: as password (any user), or as `Authorization: Bearer TOKEN`";
            return Err(Failure { status: StatusCode::UNAUTHORIZED, words: words.into() });
        }
        Some(_) => {}
        None if !is_loopback(&shared.made.settings.http.listen) => {
            return Err(Failure::forbidden(
                "the console listens beyond this machine and has no token, so it shows nothing: set console.token \
                 (TRIBUTARY_CONSOLE_TOKEN), or http.listen to an address of this machine",
            ));
        }
        None if !is_of_this_machine(host) => {
            return Err(Failure::forbidden(format!(
                "`{}` is no name of this machine: without a token the console is reached as http://localhost:PORT only",
                host.chars().take(80).collect::<String>()
            )));
        }
        None => {}
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let from_elsewhere = match (headers.get("sec-fetch-site").map(HeaderValue::to_str), text(header::ORIGIN)) {
        (Some(Ok("same-origin" | "none")), None) | (None, None) => false,
        (Some(Ok("same-origin" | "none")) | None, Some(origin)) => {
            origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) != Some(host)
        }
        (Some(_), _) => true,
    };
    if from_elsewhere || (headers.contains_key(header::ORIGIN) && text(header::ORIGIN).is_none()) {
        return Err(Failure::forbidden("this came from another site's page, and nothing was done"));
    }
    if !shared.pace.allows() {
        let words =
            format!("more than {PER_SECOND} requests that may change something came in a second; try again in some seconds");
        return Err(Failure { status: StatusCode::TOO_MANY_REQUESTS, words });
    }
    Ok(())
}

/// `Bearer TOKEN`, or `Basic` with any user and the token as password.
fn shows(authorization: Option<&str>, token: &[u8; 32]) -> bool {
    let Some((scheme, value)) = authorization.and_then(|value| value.split_once(' ')) else { return false };
    let shown = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => pair(value).map(|(_, password)| password),
        _ => None,
    };
    shown.is_some_and(|shown| digest(&shown) == *token)
}

fn pair(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// Who asks, for the history: the user that a browser was given, and from where.
pub(crate) fn person(request: &HttpRequest) -> String {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let user = given.and_then(|value| pair(value.strip_prefix("Basic ")?)).map(|(user, _)| user).filter(|user| !user.is_empty());
    let user: String = user.as_deref().unwrap_or("somebody").chars().filter(|c| !c.is_control()).take(64).collect();
    let peer = request.peer_addr().map_or_else(|| "?".to_owned(), |peer| peer.ip().to_string());
    format!("{user}@{peer}")
}

/// `localhost`, with or without a port, and addresses of the loopback.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    is_loopback(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_that_point_here_are_not_ours() {
        for host in ["localhost", "localhost:8082", "127.0.0.1:8082", "[::1]:8082", "LOCALHOST:1"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:8082", "127.0.0.1.evil.example", "10.0.0.7:8082", "[::1"] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_shown_as_bearer_or_as_a_password() {
        let token = digest("abcdefgh");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(shows(Some("Bearer abcdefgh"), &token));
        assert!(shows(Some(&basic("ana:abcdefgh")), &token));
        for wrong in [None, Some("Bearer abcdefg"), Some("abcdefgh"), Some("Basic abcdefgh"), Some("Bearer ")] {
            assert!(!shows(wrong, &token), "{wrong:?}");
        }
        assert!(!shows(Some(&basic("abcdefgh:")), &token));
    }

    #[test]
    fn who_does_too_much_waits() {
        let pace = Pace::default();
        assert_eq!((0..100).filter(|_| pace.allows()).count(), 30);
    }
}
