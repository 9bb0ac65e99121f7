//! Who may use the console, and for what.

/// The pages and the API on [`Http::listen`](super::Http::listen).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Console {
    /// What a person or a program must show; none: nothing, and then only on loopback.
    pub token: Option<String>,
    /// Whether it only shows, and does nothing.
    pub read_only: bool,
}
