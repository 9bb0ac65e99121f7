// What is wrong is said where somebody looks for it, until it is mended; and what a form says is said as a command, too.
//
// Assumes a job that always fails, with a task that does not, and a table that no model makes (console_lab.py). Promises that what is broken
// for a test is mended after it.

import { DOOMED, JOB, must, same, until } from "./ground.mjs";

const banner = (tab) => tab.part("banner").innerText();
const commands = (tab, form) => tab.page.locator(`form[action$="${form}"] code.command`).allTextContents();

export const tests = [
  { name: "a failed run stays on the overview although one of its tasks alone succeeds", body: async ({ open, ground }) => {
    await ground.quiet(DOOMED);
    const failed = await ground.one(`SELECT max(id) FROM ops.runs WHERE job = '${DOOMED}' AND state = 'failed'`);
    await ground.api(`jobs/${DOOMED}/run`, { task: "check_bronze" });
    const alone = await ground.asked(failed, DOOMED);
    await ground.reaches(alone.id, "succeeded");
    const tab = await open({});
    await tab.go("/");
    const said = await banner(tab);
    must(said.includes(`run ${failed} of ${DOOMED} failed`), `the banner does not name run ${failed}: ${said}`);
    must(!said.includes("All is well"), `the banner says that all is well: ${said}`);
    must(said.includes("Once it is mended:") && said.includes(`tributary runs retry ${failed}`), `a retry alone is no help: ${said}`);
  } },
  { name: "the command and the call beside the run form say what the form says", body: async ({ open }) => {
    const tab = await open({});
    await tab.go(`/jobs/${JOB}`);
    const [command, call] = await commands(tab, "/run");
    same(command, `tributary run ${JOB}`, "the command of the form as it comes");
    const origin = new URL(tab.page.url()).origin;
    same(call, `curl -X POST -H 'Content-Type: application/json' -d '{}' "${origin}/api/v1/jobs/${JOB}/run"`, "its call");
    await tab.fill("/run", "task", "kpi_dau");
    await tab.fill("/run", "days", "2026-11-24, yesterday");
    await tab.page.locator('form[action$="/run"] [name="force"]').check();
    const yesterday = new Date(Date.now() - 864e5).toISOString().slice(0, 10);
    const [chosen, body] = await commands(tab, "/run");
    same(chosen, `tributary run ${JOB} --task kpi_dau --day 2026-11-24 --day yesterday --force`, "the command after three choices");
    must(body.includes(`-d '{"task":"kpi_dau","days":["2026-11-24","${yesterday}"],"force":true}'`), `the call after three choices: ${body}`);
  } },
  { name: "the command beside the run form is right without JavaScript, and the page says what $CONSOLE is", body: async ({ open }) => {
    const tab = await open({ js: false });
    await tab.go(`/jobs/${JOB}`);
    const [command, call] = await commands(tab, "/run");
    same(command, `tributary run ${JOB}`, "the command");
    must(call.includes("-d '{}' \"$CONSOLE/api/v1/"), `the call is ${call}`);
    must(/\$CONSOLE is the address/.test(await tab.page.locator("footer").innerText()), "nothing says what $CONSOLE is");
  } },
  { name: "the preview of a backfill shows the command that does it", body: async ({ open, ground }) => {
    const tab = await open({});
    await tab.go(`/jobs/${JOB}`);
    const day = new Date().toISOString().slice(0, 10);
    for (const name of ["from", "to"]) await tab.fill("/backfill", name, day);
    const [shown] = await commands(tab, "/backfill");
    same(shown, `tributary backfill ${JOB} --from ${day} --to ${day} --dry-run`, "the command beside the form");
    await ground.leaves(0, "Preview backfill", () => tab.press("Preview backfill"));
    const said = await tab.part("preview").locator("code.command").allTextContents();
    must(said.includes(`tributary backfill ${JOB} --from ${day} --to ${day}`), `the preview says ${said.join(", ")}`);
  } },
  { name: "the newest run of a grid is in sight", body: async ({ open }) => {
    for (const js of [true, false]) {
      const tab = await open({ js, viewport: { width: 700, height: 900 } });
      await tab.go(`/jobs/${JOB}`);
      const newest = await tab.part("grid").locator("thead a.column").last().boundingBox();
      const box = await tab.part("grid").locator(".scroll").boundingBox();
      must(newest.x >= box.x && newest.x + newest.width <= box.x + box.width + 1, `with scripts: ${js}: the newest run is out of sight`);
    }
  } },
  { name: "a table says how its tests went, and one that no model makes any more says so, there and in the list", body: async ({ open, ground }) => {
    const tab = await open({});
    await tab.go("/tables/gold.kpi_dau");
    must(await tab.part("model").locator('.state[data-state="ok"]').count(), "no test of gold.kpi_dau says that it holds");
    same((await tab.part("trouble").innerText()).trim(), "", "what is wrong with gold.kpi_dau");
    const { version } = (await ground.api("tables")).find(({ table }) => table === "gold.left_behind");
    await tab.go("/tables/gold.left_behind");
    const said = await tab.part("trouble").innerText();
    must(said.includes(`No model makes this table any more: it is as it was at version ${version}`), `the page says: ${said}`);
    await tab.go("/tables");
    must((await tab.part("tables").innerText()).includes("no model makes it any more"), "the list does not say that no model makes gold.left_behind");
  } },
  { name: "a job whose file is broken has a page that says where", control: true, body: async ({ open, ground }) => {
    await ground.ask("break");
    try {
      const tab = await open({});
      same(await tab.go("/jobs/mistyped"), 200, "status");
      const said = await tab.part("state").innerText();
      must(/mistyped\.toml, line 2/.test(said) && said.includes("scedule"), `the page says: ${said}`);
      await tab.go("/");
      await until("the overview says so, too", async () => (await banner(tab)).includes("mistyped.toml, line 2"), 5);
    } finally {
      await ground.ask("mend");
    }
  } },
];
