// Everything that a person may do, done by pressing what is on the page, with JavaScript and without.
//
// Assumes dead letters that the declaration calls valid by now, and a job that always fails (console_lab.py). Promises that each effect is looked
// for in PostgreSQL, each action leaves exactly its row in ops.actions, and what only shows (dry runs, previews, queries) leaves none.

import { DOOMED, JOB, STREAM, must, same, until } from "./ground.mjs";

const today = () => new Date().toISOString().slice(0, 10);

async function onJob(open, js, job = JOB) {
  const tab = await open({ js });
  same(await tab.go(`/jobs/${job}`), 200, "status");
  return tab;
}

/// A run that cannot end until `release` is called.
async function heldRun(ground) {
  await ground.quiet();
  const release = await ground.hold();
  try {
    const before = await ground.newest();
    await ground.api(`jobs/${JOB}/run`, {});
    const { id } = await ground.asked(before);
    await ground.reaches(id, "running");
    return { id, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/// A page that was answered to a form is looked at as any other.
async function readable(tab, js) {
  const barriers = js ? await tab.barriers() : [];
  must(!barriers.length, `barriers: ${barriers.join("; ")}`);
}

const acts = {
  "Run now runs the job": async ({ open, ground }, js) => {
    const tab = await onJob(open, js);
    const before = await ground.newest();
    const run = await ground.leaves(1, "Run now", async () => {
      await tab.press("Run now");
      return ground.asked(before);
    });
    must(/\/(runs\/\d+|jobs\/\w+)/.test(tab.page.url()), `it leads to ${tab.page.url()}`);
    await ground.reaches(run.id, "succeeded", "skipped");
  },
  "Run now with a task runs that task alone": async ({ open, ground }, js) => {
    const tab = await onJob(open, js);
    const before = await ground.newest();
    await tab.fill("/run", "task", "silver");
    await ground.leaves(1, "Run now", () => tab.press("Run now"));
    const { id } = await ground.asked(before);
    await ground.reaches(id, "succeeded", "skipped");
    same(await ground.one(`SELECT count(DISTINCT task) FROM ops.tasks WHERE run_id = ${id} AND state = 'succeeded'`), 1, "tasks that ran");
  },
  "Dry run says what would be done and does nothing": async ({ open, ground }, js) => {
    const tab = await onJob(open, js);
    const manual = () => ground.one("SELECT count(*) FROM ops.runs WHERE trigger <> 'schedule'");
    const before = await manual();
    await ground.leaves(0, "Dry run", () => tab.press("Dry run"));
    await until("it names the tasks", async () => /silver/.test(await tab.text()) && /kpi_dau/.test(await tab.text()), 5);
    same(await manual(), before, "runs that somebody asked for");
    await readable(tab, js);
  },
  "Pause pauses, a paused job says so and runs when asked, Resume resumes": async ({ open, ground }, js) => {
    const tab = await onJob(open, js);
    const paused = () => ground.one(`SELECT paused FROM ops.schedules WHERE job = '${JOB}'`);
    await ground.leaves(1, "Pause", () => tab.press("Pause"));
    same(await paused(), true, "ops.schedules.paused");
    await tab.go(`/jobs/${JOB}`);
    const said = await tab.part("state").innerText();
    must(/paused/i.test(said) && /run now/i.test(said), `the page does not say that the job is paused and runs all the same: ${said}`);
    const before = await ground.newest();
    await ground.leaves(1, "Run now", () => tab.press("Run now"));
    const { id } = await ground.asked(before);
    await ground.reaches(id, "succeeded", "skipped");
    await tab.go(`/jobs/${JOB}`);
    await ground.leaves(1, "Resume", () => tab.press("Resume"));
    same(await paused(), false, "ops.schedules.paused");
  },
  "Cancel run asks first, then ends it; Retry runs it again": async ({ open, ground }, js) => {
    const { id, release } = await heldRun(ground);
    const tab = await open({ js });
    try {
      await tab.go(`/runs/${id}`);
      await ground.leaves(0, "Cancel run", () => tab.press("Cancel run"));
      same(await ground.one(`SELECT cancel_requested_at FROM ops.runs WHERE id = ${id}`), null, "cancel_requested_at before it was confirmed");
      await readable(tab, js);
      await ground.leaves(1, "Yes, cancel", () => tab.press(`Yes, cancel run ${id}`));
      must(await ground.one(`SELECT cancel_requested_at FROM ops.runs WHERE id = ${id}`), "nobody asked the run to end");
      // Before it is let go: once nothing holds it any more it may be through before anybody ends it.
      await ground.reaches(id, "cancelled");
    } finally {
      await release();
    }
    await tab.go(`/runs/${id}`);
    must(await tab.part("state").locator('.state[data-state="cancelled"]').count(), "the page does not say that it was cancelled");
    const before = await ground.newest();
    await ground.leaves(1, "Retry", () => tab.press("Retry"));
    const retried = await ground.asked(before, JOB, "retry");
    same(retried.retry_of, id, "retry_of");
    await ground.reaches(retried.id, "succeeded", "skipped");
  },
  "Retry of a failed run": async ({ open, ground }, js) => {
    const tab = await open({ js });
    const failed = await ground.one(`SELECT max(id) FROM ops.runs WHERE job = '${DOOMED}' AND state = 'failed'`);
    await tab.go(`/runs/${failed}`);
    must(/doomed/.test(await tab.part("tasks").innerText()), "the task that failed is not named");
    await ground.leaves(1, "Retry", () => tab.press("Retry"));
    const retried = await ground.asked(failed, DOOMED, "retry");
    same(retried.retry_of, failed, "retry_of");
    await ground.reaches(retried.id, "failed");
  },
  "Preview backfill says what it takes, Queue this backfill does it": async ({ open, ground }, js) => {
    const tab = await onJob(open, js);
    const before = await ground.newest();
    for (const name of ["from", "to"]) await tab.fill("/backfill", name, today());
    await ground.leaves(0, "Preview backfill", () => tab.press("Preview backfill"));
    await until("it names the day", async () => (await tab.text()).includes(today()), 5);
    same(await ground.one(`SELECT count(*) FROM ops.runs WHERE trigger = 'backfill' AND id > ${before}`), 0, "backfills after the preview");
    await readable(tab, js);
    await ground.leaves(1, "Queue this backfill", () => tab.press("Queue this backfill"));
    const { id } = await ground.asked(before, JOB, "backfill");
    await ground.reaches(id, "succeeded", "skipped");
  },
  "Preview replay says how many, Replay these records makes them valid": async ({ open, ground }, js) => {
    const tab = await open({ js });
    // Only the source that the lab has allowed since can become valid, and only once: the other time it is said that nothing would.
    const reason = js ? "not_allowed" : "missing_field";
    same(await tab.go(`/deadletters?stream=${STREAM}&reason=${reason}`), 200, "status");
    await tab.fill("/deadletters/replay", "reason", reason);
    await ground.leaves(0, "Preview replay", () => tab.press("Preview replay"));
    await until("it says how many", async () => /\d/.test(await tab.text()) && (await tab.text()).includes(STREAM), 5);
    await readable(tab, js);
    if (!js) {
      must((await tab.text()).includes("Nothing would become valid"), "it does not say that nothing would become valid");
      same(await tab.page.getByRole("button", { name: "Replay these records" }).count(), 0, "buttons that would do nothing");
      return;
    }
    const before = await ground.sql("SELECT next FROM ops.replays");
    await ground.leaves(1, "Replay these records", () => tab.press("Replay these records"));
    await until("the windows have taken the replay", async () =>
      JSON.stringify(await ground.sql("SELECT next FROM ops.replays")) !== JSON.stringify(before), 30);
    const left = await ground.api(`deadletters?stream=${STREAM}&reason=not_allowed`);
    must(JSON.stringify(left).length > 2, "the API does not answer");
  },
  "Run query shows rows": async ({ open, ground }, js) => {
    const tab = await open({ js });
    await tab.go("/query");
    await tab.fill("/query", "sql", "SELECT event_type, count(*) AS events FROM silver.user_events GROUP BY event_type ORDER BY event_type");
    await ground.leaves(0, "Run query", () => tab.press("Run query"));
    await until("rows show", async () => /purchase/.test(await tab.page.locator("main table").first().innerText()), 10);
    const header = await tab.page.locator("main table").first().locator("th").allInnerTexts();
    must(header.join(" ").toLowerCase().includes("events"), `columns are ${header}`);
    must((await tab.page.locator('[name="sql"]').first().inputValue()).includes("GROUP BY"), "the query is gone from its field");
    await readable(tab, js);
  },
  "a query that is wrong says what is wrong, and keeps what was typed": async ({ open }, js) => {
    const tab = await open({ js });
    tab.allow(/status of 4\d\d/, /^4\d\d POST/);
    await tab.go("/query");
    await tab.fill("/query", "sql", "SELECT no_such_column FROM silver.user_events");
    await tab.press("Run query");
    await until("it names the column", async () => (await tab.text()).includes("no_such_column"), 10);
    must((await tab.page.locator('[name="sql"]').first().inputValue()).includes("no_such_column"), "the query is gone from its field");
    await tab.fill("/query", "sql", "DROP TABLE silver.user_events");
    await tab.press("Run query");
    await until("it refuses", async () => /only|read|not|refus/i.test(await tab.page.locator("main").innerText()), 10);
  },
};

export const tests = [true, false].flatMap((js) =>
  Object.entries(acts).map(([name, body]) => ({ name: `${name}${js ? "" : " (without JavaScript)"}`, body: (test) => body(test, js) })));

tests.push({
  name: "Activity shows what was done, newest first", body: async ({ open, ground }) => {
    const before = await ground.newest(DOOMED);
    await ground.leaves(1, "POST run", () => ground.api(`jobs/${DOOMED}/run`, {}));
    await ground.asked(before, DOOMED);
    const tab = await open({});
    await tab.go("/activity");
    const first = await tab.part("actions").locator("tbody tr").first().innerText();
    must(first.includes(DOOMED), `the first row is "${first}"`);
  },
});
