//! The same on the command line and over HTTP as a page shows or a form does.
//!
//! A form's command and call are written for the choices that it comes with. `console.js` writes them anew at every other choice, by what
//! the inputs say of themselves: `data-flag` and `data-key` are what the command and the API call them, `data-list` is for those of which
//! there may be several.

use maud::{Markup, html};

/// Where the console is. `console.js` puts the address in its place that the browser came to, which behind a proxy nobody else knows;
/// without scripts the foot of the page says what it stands for.
fn console() -> Markup {
    html! { span data-console { "$CONSOLE" } }
}

/// A call of the API.
pub(crate) fn call(method: &str, path: &str) -> Markup {
    html! { code.command.quiet data-copy title="The same over HTTP" { "curl -X " (method) " \"" (console()) (path) "\"" } }
}

/// A call with this body. Within a form its choices are added to `always`, which no choice changes.
pub(crate) fn call_with(path: &str, body: &str, always: &str) -> Markup {
    html! {
        code.command.quiet data-copy title="The same over HTTP" {
            "curl -X POST -H 'Content-Type: application/json' -d '" span data-body=(always) { (quoted(body)) } "' \"" (console()) (path) "\""
        }
    }
}

/// A call whose choices are in its address.
pub(crate) fn call_for(path: &str, query: &str) -> Markup {
    html! {
        code.command.quiet data-copy title="The same over HTTP" {
            "curl \"" (console()) (path) span data-query { (query) } "\""
        }
    }
}

/// The command that does what a form says: what its choices add stands before `rest`.
pub(crate) fn command(begin: &str, flags: &str, rest: &str) -> Markup {
    html! {
        code.command data-copy title="The same on the command line" { (begin) span data-flags { (flags) } (rest) }
    }
}

/// JSON between the quotes of a shell.
pub(crate) fn quoted(json: &str) -> String {
    json.replace('\'', "\\u0027")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_one_command_whatever_is_in_it() {
        let html = call_with("/api/v1/query", "{\"sql\":\"SELECT 'a'\"}", "{}").into_string();
        assert!(html.contains("SELECT \\u0027a\\u0027") && html.contains("data-body=\"{}\""), "{html}");
        assert!(html.ends_with("$CONSOLE</span>/api/v1/query&quot;</code>"), "{html}");
        assert_eq!(quoted("{\"a\":1}"), "{\"a\":1}");
    }

    #[test]
    fn choices_stand_where_the_script_finds_them() {
        let html = command("tributary run etl", " --force", "").into_string();
        assert!(html.contains("tributary run etl<span data-flags> --force</span></code>"), "{html}");
        let html = call_for("/api/v1/deadletters", "?status=a%2Cb").into_string();
        assert!(html.contains("<span data-query>?status=a%2Cb</span>"), "{html}");
    }
}
