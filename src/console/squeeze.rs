//! Pages and files as they travel: gzip where the browser takes it, which makes a tenth of a page.
//!
//! Nothing secret is in a page, so its length may tell what it likes. Streams of events are not squeezed: each must arrive at once.

use std::io::Write;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;

/// What is smaller fits one packet as it is.
const WORTH: usize = 1_200;

/// Whether whoever asks takes gzip.
fn is_taken(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').map(str::trim).any(|one| one == "gzip" || (one.starts_with("gzip;") && !one.ends_with("=0")))
}

/// The same in fewer bytes; none: it cannot be had.
pub(super) fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(4));
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Ends an answer with what is given: as it is, or squeezed, by `squeezed` where that has been done before.
pub(super) fn body(
    request: &HttpRequest,
    answer: &mut HttpResponseBuilder,
    plain: Vec<u8>,
    squeezed: Option<&'static [u8]>,
) -> HttpResponse {
    answer.insert_header((header::VARY, "Accept-Encoding"));
    if plain.len() < WORTH || !is_taken(request.headers()) {
        return answer.body(plain);
    }
    match squeezed.map(<[u8]>::to_vec).or_else(|| gzip(&plain)) {
        Some(squeezed) => answer.insert_header((header::CONTENT_ENCODING, "gzip")).body(squeezed),
        None => answer.body(plain),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn only_who_takes_it_gets_it() {
        let taken = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static(value));
            is_taken(&headers)
        };
        assert!(taken("gzip, deflate, br") && taken("br;q=1.0, gzip;q=0.8"));
        assert!(!taken("identity") && !taken("gzip;q=0") && !taken("") && !is_taken(&HeaderMap::new()));
    }

    #[test]
    fn what_is_squeezed_is_the_same() {
        let page = "<td>flowing</td>".repeat(1_000);
        let squeezed = gzip(page.as_bytes()).unwrap();
        assert!(squeezed.len() < page.len() / 10);
        let mut again = String::new();
        flate2::read::GzDecoder::new(&squeezed[..]).read_to_string(&mut again).unwrap();
        assert_eq!(again, page);
    }
}
