//! A PostgreSQL URL from its parts, and one without its password for the eyes of a person.

use super::Serving;

/// `postgres://user:password@host:port/database?…` from the parts that a person gave one by one.
pub(super) fn compose(host: &str, serving: &Serving) -> String {
    // An IPv6 address needs brackets; a folder (unix socket) is percent-encoded whole.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { encode_host(host) };
    let url = format!(
        "postgres://{}:{}@{host}:{}/{}",
        encode(&serving.user),
        encode(&serving.embedded_password),
        serving.embedded_port,
        encode(&serving.database)
    );
    with_tls(url, serving)
}

/// Adds `sslmode` and `sslrootcert` unless the URL speaks of them itself.
pub(super) fn with_tls(mut url: String, serving: &Serving) -> String {
    for (name, value) in [("sslmode", &serving.ssl_mode), ("sslrootcert", &serving.ssl_root_cert)] {
        let Some(value) = value else { continue };
        let query = url.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').any(|pair| pair.split('=').next() == Some(name)) {
            continue;
        }
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{name}={}", encode(value)));
    }
    url
}

/// The URL of the embedded server.
pub fn embedded(host: &str, port: u16, password: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("postgres://platform:{}@{host}:{port}/serving", encode(password))
}

/// The same URL with `***` in place of passwords.
pub fn masked(url: &str) -> String {
    let (front, query) = url.split_once('?').map_or((url, None), |(front, query)| (front, Some(query)));
    let mut shown = match front.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((login, place)) => {
                let user = login.split(':').next().unwrap_or_default();
                let hidden = if login.contains(':') { ":***" } else { "" };
                format!("{scheme}://{user}{hidden}@{place}")
            }
            None => front.to_owned(),
        },
        // Not a URL at all: it may be anything, a password included.
        None => return "***".to_owned(),
    };
    if let Some(query) = query {
        // `password`, `sslpassword`, and whatever else is called like that.
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
            _ => pair.to_owned(),
        });
        shown.push('?');
        shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    shown
}

fn encode_host(host: &str) -> String {
    if host.starts_with('/') { encode(host) } else { host.to_owned() }
}

/// Percent-encodes everything but what every part of a URL may hold as it is.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_a_url_whatever_the_password_holds() {
        let serving = Serving { embedded_password: "p@ss/w:rd?".into(), ssl_mode: Some("require".into()), ..Serving::default() };
        assert_eq!(
            compose("db.example", &serving),
            "postgres://platform:p%40ss%2Fw%3Ard%3F@db.example:5432/serving?sslmode=require"
        );
        assert_eq!(compose("::1", &Serving::default()), "postgres://platform:platform123@[::1]:5432/serving");
    }

    #[test]
    fn a_url_that_names_its_sslmode_keeps_it() {
        let serving = Serving { ssl_mode: Some("require".into()), ssl_root_cert: Some("/ca.pem".into()), ..Serving::default() };
        assert_eq!(
            with_tls("postgres://h/d?sslmode=disable".into(), &serving),
            "postgres://h/d?sslmode=disable&sslrootcert=%2Fca.pem"
        );
    }

    #[test]
    fn a_masked_url_shows_everything_but_the_password() {
        assert_eq!(masked("postgres://me:se:cr@et@db:5432/serving?a=b"), "postgres://me:***@db:5432/serving?a=b");
        assert_eq!(masked("postgres://me@db/serving?password=secret"), "postgres://me@db/serving?password=***");
        assert_eq!(masked("postgres://db/serving?sslkey=a&sslpassword=secret"), "postgres://db/serving?sslkey=a&sslpassword=***");
        assert_eq!(masked("postgres://db/serving"), "postgres://db/serving");
        assert_eq!(masked("host=db password=secret"), "***");
    }
}
