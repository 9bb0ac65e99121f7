//! What comes of the forms of a run.

use anyhow::Result;
use maud::html;
use tributary_actors::serving::history;

use super::super::super::asked::Asked;
use super::super::super::doing;
use super::super::super::failure::Failure;
use super::super::super::parts::state;
use super::super::super::routes::{Done, Said};
use super::super::super::shell::Page;
use super::super::job::word;
use super::no_run;
use crate::acts::Via;

/// The end of a run; without a confirmation, the question whether it is meant.
pub(crate) async fn cancel(asked: Asked, said: Said) -> Result<Done> {
    let id = asked.number("run")?;
    if word(&said, "confirm") == Some("yes") {
        doing::cancel(&asked, Via::Console, id).await?;
        return Ok(Done::See(format!("/runs/{id}")));
    }
    let run = asked.shared.ask(move |connection| Box::pin(async move { Ok(history::run(connection, id).await?) })).await?;
    let run = run.ok_or_else(|| no_run(id))?;
    if run.state.is_over() {
        return Err(Failure::conflict(format!("run {id} is over: {}", run.state)).into());
    }
    let page =
        Page::new("run", format!("Run {id}"), "/jobs").below("Jobs", "/jobs").below(&run.job, format!("/jobs/{}", run.job));
    let question = html! {
        div.card {
            h2 { "End this run of " (run.job) "?" }
            p { (state(run.state.as_str())) " What it has committed stays; it ends at its next step, and Retry goes on from there." }
            div.toolbar {
                form.inline method="post" action={ "/runs/" (id) "/cancel" } {
                    input type="hidden" name="confirm" value="yes";
                    button.button.danger type="submit" { "Yes, cancel run " (id) }
                }
                a.button href={ "/runs/" (id) } { "No, back to the run" }
            }
        }
    };
    Ok(Done::Read(Box::new(page.says(format!("tributary runs cancel {id}")).fixed("confirm", question))))
}

/// The run again.
pub(crate) async fn retry(asked: Asked, said: Said) -> Result<Done> {
    let id = asked.number("run")?;
    let from = word(&said, "from_task").map(str::to_owned);
    let retried = doing::retry(&asked, Via::Console, id, from).await?;
    Ok(Done::See(format!("/runs/{}", retried.run)))
}
