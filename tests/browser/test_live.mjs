// What changes by itself while somebody looks: numbers, runs that others began, and what happens when the server goes away.
//
// Assumes traffic that flows all the time. Promises that a page which was loaded anew counts as a failure: live means that it was not.

import { JOB, must, same, until } from "./ground.mjs";

const isLive = (tab) => until("#live says live", () => tab.page.locator('#live[data-state="live"]').count(), 20);
const changes = async (tab, part, seconds = 15) => {
  const before = await tab.part(part).innerText();
  await until(`part ${part} changes`, async () => (await tab.part(part).innerText()) !== before, seconds);
};

export const tests = [
  { name: "the overview's numbers move while traffic flows, those of gold after a run", body: async ({ open, ground }) => {
    const tab = await open({});
    await tab.go("/");
    await isLive(tab);
    await changes(tab, "flow");
    // The figures of gold are as old as the last run.
    await Promise.all([changes(tab, "kpis", 60), ground.api(`jobs/${JOB}/run`, {})]);
    same(tab.navigations, 1, "loads of the page");
  } },
  { name: "a stream's offsets move while traffic flows", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/streams/user_events");
    await isLive(tab);
    await changes(tab, "partitions");
    same(tab.navigations, 1, "loads of the page");
  } },
  { name: "a run that was begun elsewhere appears on Jobs and on Runs by itself", body: async ({ open, ground }) => {
    const [jobs, runs] = [await open({}), await open({})];
    await jobs.go("/jobs");
    await runs.go("/runs");
    await Promise.all([isLive(jobs), isLive(runs)]);
    await ground.quiet();
    const before = await ground.newest();
    await ground.api(`jobs/${JOB}/run`, {});
    const { id } = await ground.asked(before);
    for (const [tab, part] of [[jobs, "jobs"], [runs, "runs"]]) {
      await until(`run ${id} is linked on ${part}`, () => tab.part(part).locator(`a[href="/runs/${id}"]`).count(), 15);
      same(tab.navigations, 1, "loads of the page");
    }
  } },
  { name: "a run's page follows the run to its end without being loaded anew", body: async ({ open, ground }) => {
    await ground.quiet();
    const release = await ground.hold();
    const tab = await open({});
    let id;
    try {
      const before = await ground.newest();
      await ground.api(`jobs/${JOB}/run`, {});
      ({ id } = await ground.asked(before));
      same(await tab.go(`/runs/${id}`), 200, "status");
      await isLive(tab);
      await until("it says that it runs", () => tab.part("state").locator('.state[data-state="running"]').count());
      const tasks = tab.part("tasks").locator('.state[data-state="succeeded"]');
      await until("tasks end one by one", async () => (await tasks.count()) > 2);
    } finally {
      await release();
    }
    await ground.reaches(id, "succeeded");
    await until("it says that it succeeded", () => tab.part("state").locator('.state[data-state="succeeded"]').count(), 15);
    await until("publish is shown as done", async () => (await tab.part("tasks").innerText()).includes("publish") &&
      !(await tab.part("tasks").locator('.state[data-state="running"]').count()), 15);
    same(tab.navigations, 1, "loads of the page");
  } },
  { name: "what a person opened or typed stays while parts change", body: async ({ open, ground }) => {
    const tab = await open({});
    await tab.go(`/jobs/${JOB}`);
    await isLive(tab);
    await tab.fill("/run", "days", "2026-11-24");
    const before = await ground.newest();
    await ground.api(`jobs/${JOB}/run`, {});
    const { id } = await ground.asked(before);
    await until("the grid shows the run", () => tab.page.locator(`main section a[href^="/runs/${id}"]`).count(), 15);
    same(await tab.page.locator('form[action$="/run"] [name="days"]').first().inputValue(), "2026-11-24", "the field");
  } },
  { name: "a lost connection is said with its time, and forgotten when the server is back", control: true, body: async ({ open, ground }) => {
    const tab = await open({});
    // The browser itself writes each failed attempt to the console.
    tab.allow(/Failed to load resource/, /ERR_(CONNECTION|INCOMPLETE|EMPTY|NETWORK|SOCKET)/, /^\d+ GET .*\/live/);
    await tab.go("/");
    await isLive(tab);
    await ground.ask("kill");
    try {
      await until("#live says waiting", () => tab.page.locator('#live[data-state="waiting"]').count(), 15);
      await until("#lost shows", () => tab.page.locator("#lost").isVisible(), 5);
      const said = await tab.page.locator("#lost").innerText();
      must(/\d\d:\d\d|ago|since/i.test(said), `#lost does not say since when: "${said}"`);
    } finally {
      await ground.ask("start");
    }
    await until("#lost goes", async () => !(await tab.page.locator("#lost").isVisible()), 40);
    await isLive(tab);
    await changes(tab, "flow", 30);
  } },
  { name: "streams that are not read any more are not kept", body: async ({ open, ground }) => {
    // More than the server gives at once, one after another: each is left before the next one is asked for. It notices at the next look.
    for (let i = 0; i < 80; i++) {
      await until(`there is room for stream ${i}`, async () => {
        const left = new AbortController();
        const { status } = await fetch(`${ground.url}/live${i % 2 ? "/jobs" : "/"}`, { signal: left.signal });
        left.abort();
        return status === 200;
      }, 8);
    }
    const tab = await open({});
    await tab.go("/");
    await isLive(tab);
    must((await fetch(`${ground.url}/healthz`)).ok, "healthz");
  } },
];
