//! Overview: the pipeline as it flows, what is wrong and what to do about it, and the newest numbers.

use anyhow::Result;
use maud::html;

use super::super::asked::Asked;
use super::super::shell::Page;

pub(crate) async fn page(_asked: Asked) -> Result<Page> {
    Ok(Page::new("overview", "Overview", "/").says("tributary status").live("banner", html! {}))
}
