//! What must not be in anything that is given to somebody else: the values themselves, wherever they stand, and logins in URLs.
//!
//! A second net below the masking of settings: what other programs wrote (logs, errors, files that a person edits) passes through here,
//! too. Assumes that a secret has four characters or more; a shorter one cannot be told from the text around it.

use tributary_core::settings::{Settings, postgres_url, table};
use url::Url;

/// In place of a secret.
const MASK: &str = "***";
/// Shorter values would mask half of every text.
const SHORTEST: usize = 4;

/// The values to keep out.
pub(super) struct Secrets {
    /// The longest first: one may be a part of another.
    values: Vec<String>,
}

impl Secrets {
    /// All that these settings hold.
    pub(super) fn of<'a>(settings: impl IntoIterator<Item = &'a Settings>) -> Self {
        let mut values = Vec::new();
        for value in settings.into_iter().flat_map(table::secrets) {
            match value.contains("://") {
                true => values.extend(in_url(&value)),
                false => values.push(value),
            }
        }
        // The same as another program may write it: in a URL, or in JSON.
        let written: Vec<String> = values.iter().flat_map(|value| [encoded(value), quoted(value)]).collect();
        values.extend(written);
        values.retain(|value| value.len() >= SHORTEST && value != MASK);
        values.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        values.dedup();
        Self { values }
    }

    /// The text without any of them.
    pub(super) fn redact(&self, text: &str) -> String {
        let masked = urls(text);
        self.values.iter().fold(masked, |text, value| text.replace(value.as_str(), MASK))
    }
}

/// The passwords of a URL, as they are written there and as they are meant.
fn in_url(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((login, _)) = value.split_once("://").and_then(|(_, rest)| rest.split('?').next()?.rsplit_once('@')) {
        found.extend(login.split_once(':').map(|(_, password)| password.to_owned()));
    }
    if let Ok(url) = Url::parse(value) {
        found.extend(url.password().map(ToOwned::to_owned));
        // `query_pairs` decodes what it finds.
        found.extend(url.query_pairs().filter(|(name, _)| name.contains("password")).map(|(_, value)| value.into_owned()));
    }
    found.extend(found.clone().iter().map(|password| decoded(password)));
    found
}

/// `%40` is `@`.
fn decoded(text: &str) -> String {
    // As the value of a form, where `+` would be a blank.
    let form = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).next().map_or_else(|| text.to_owned(), |(_, value)| value.into_owned())
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().trim_matches('"').to_owned()
}

/// The text with the password of every URL masked, whoever's it is.
fn urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let before = rest.get(..at).unwrap_or_default();
        let scheme = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)))
            .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let from = rest.get(scheme..).unwrap_or_default();
        let ends = |c: char| c.is_whitespace() || "\"'`<>()|,;\\".contains(c);
        let end = from.find(ends).unwrap_or(from.len());
        masked.push_str(rest.get(..scheme).unwrap_or_default());
        let url = from.get(..end).unwrap_or_default();
        match url.contains('@') || url.contains("password=") {
            true => masked.push_str(&postgres_url::masked(url)),
            false => masked.push_str(url),
        }
        rest = from.get(end..).unwrap_or_default();
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.serving.database_url = Some("postgres://me:p%40ss-word@db:5432/serving".into());
        settings.serving.embedded_password = "hush\"hush".into();
        settings.kafka.properties.insert("sasl.password".into(), "sasl-hush".into());
        settings.kafka.properties.insert("sasl.jaas.config".into(), "jaas-hush".into());
        settings.lake.options.insert("aws_secret_access_key".into(), "aws-hush".into());
        settings
    }

    #[test]
    fn no_secret_is_left_in_whatever_form() {
        let settings = settings();
        let secrets = Secrets::of([&settings]);
        let text = "a p@ss-word b p%40ss-word c sasl-hush jaas-hush aws-hush hush\"hush and in JSON \"hush\\\"hush\"";
        let redacted = secrets.redact(text);
        for secret in ["ss-word", "hush"] {
            assert!(!redacted.contains(secret), "{redacted}");
        }
        assert!(redacted.starts_with("a *** b *** c *** *** *** *** and in JSON"), "{redacted}");
    }

    #[test]
    fn logins_in_urls_are_masked_whoever_they_are_of() {
        let secrets = Secrets::of([&Settings::default()]);
        for (text, redacted) in [
            ("see http://ana:pw@host/x, or not", "see http://ana:***@host/x, or not"),
            ("é\"s3://key:pw@bucket\"", "é\"s3://key:***@bucket\""),
            ("http://127.0.0.1:8082/metrics", "http://127.0.0.1:8082/metrics"),
            ("jdbc://h/d?user=a&password=pw", "jdbc://h/d?user=a&password=***"),
            ("nothing :// here", "nothing :// here"),
        ] {
            assert_eq!(secrets.redact(text), redacted);
        }
    }

    #[test]
    fn a_short_secret_does_not_eat_the_text() {
        let mut settings = Settings::default();
        settings.serving.embedded_password = "a".into();
        assert_eq!(Secrets::of([&settings]).redact("banana"), "banana");
    }
}
