// What changes by itself while somebody looks: numbers, runs that others began, and what happens when the server goes away.
//
// Assumes traffic that flows all the time. Headless Chromium shows every tab at once: that one is hidden is told to it (`seen`). Promises that
// a page which was loaded anew counts as a failure: live means that it was not.

import { JOB, must, same, until } from "./ground.mjs";

const isLive = (tab) => until("#live says live", () => tab.page.locator('#live[data-state="live"]').count(), 20);
const changes = async (tab, part, seconds = 15) => {
  const before = await tab.part(part).innerText();
  await until(`part ${part} changes`, async () => (await tab.part(part).innerText()) !== before, seconds);
};

/// As if the tab came before somebody's eyes, or went from them.
const seen = (page, state) => page.evaluate((state) => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
  document.dispatchEvent(new Event("visibilitychange"));
}, state);

/// What a chart draws, by its names in their order, and what its legend says of that.
const legend = (chart) => chart.evaluate((figure) => {
  const { series, open } = JSON.parse(figure.dataset.chart);
  const words = [...figure.querySelectorAll("figcaption .key:has(b)")].map((key) => key.textContent.trim().replace(/\s+/g, " "));
  const value = ({ values }) => (open && values.length > 1 ? values.slice(0, -1) : values).findLast((v) => v !== null);
  return { drawn: series.map((line) => [line.name, value(line)]), words };
});

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
  { name: "the legend of a chart names the lines that are drawn, also when their order changes", body: async ({ open }) => {
    const tab = await open({});
    // One event of a stream that the test makes: the same chart with its lines the other way round. What comes after it never answers.
    let turned = false;
    await tab.page.route("**/live/**", async (route) => {
      if (turned) return;
      turned = true;
      const html = await tab.page.evaluate(() => {
        const section = document.querySelector('section[data-part="charts"]').cloneNode(true);
        for (const figure of section.querySelectorAll("figure")) {
          const data = JSON.parse(figure.dataset.chart);
          data.series.reverse();
          figure.dataset.chart = JSON.stringify(data);
          const keys = [...figure.querySelectorAll("figcaption .key:has(b)")];
          keys.reverse().forEach((key, at) => { key.querySelector(".swatch").dataset.series = at + 1; });
          figure.querySelector("figcaption").prepend(...keys);
          figure.querySelector(".plot")?.remove();
        }
        return section.innerHTML;
      });
      await route.fulfill({ contentType: "text/event-stream", body: `event: parts\ndata: ${JSON.stringify({ charts: html })}\n\n` });
    });
    await tab.go("/");
    const chart = tab.part("charts").locator("figure").first();
    await until("the lines are the other way round", async () => {
      const names = (await legend(chart)).drawn.map(([name]) => name);
      return turned && names.length > 1 && names.join() !== [...names].sort().join();
    });
    const { drawn, words } = await legend(chart);
    drawn.forEach(([name, value], at) => {
      must(words[at]?.startsWith(`${name} `), `line ${at + 1} is ${name}, and the legend says ${words[at]}`);
      if (value < 1e4) same(words[at], `${name} ${value.toLocaleString("en")}`, `what the legend says of line ${at + 1}`);
    });
  } },
  { name: "nine tabs of one browser load: one that nobody sees holds no connection, and goes on when it is seen", body: async ({ open }) => {
    const first = await open({});
    const pages = [first.page];
    while (pages.length < 9) pages.push(await first.context.newPage());
    for (const [at, page] of pages.entries()) {
      await page.goto("/", { timeout: 8000 }).catch((error) => must(false, `tab ${at + 1} does not load: ${error.message.split("\n")[0]}`));
      await isLive({ page });
      await seen(page, "hidden");
    }
    for (const page of pages) same(await page.locator("#live").getAttribute("data-state"), "off", "#live of a tab that nobody sees");
    await seen(first.page, "visible");
    await isLive(first);
    await changes(first, "flow");
    for (const page of pages) must(!(await page.locator("#lost").isVisible()), "#lost shows although nothing is lost");
    same(first.navigations, 1, "loads of the page");
  } },
  { name: "a chart is as wide as its span of time, goes on to now, and shows what this minute has so far", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/");
    await isLive(tab);
    const data = () => tab.part("charts").locator("figure").first().evaluate((figure) => JSON.parse(figure.dataset.chart));
    const { x, from, to, open: isOpen } = await data();
    same(to - from, 1800, "seconds that are shown");
    same(x.at(-1), to, "the last time that is drawn");
    must(isOpen && Math.abs(Date.now() / 1000 - to) < 75, `the last minute is ${to}, and now it is ${Date.now() / 1000}`);
    must(/this minute so far/.test(await tab.part("charts").innerText()), "nothing says that this minute is not over");
    const before = JSON.stringify(await data());
    await until("the chart moves within seconds", async () => JSON.stringify(await data()) !== before, 10);
  } },
  { name: "a run that is due is due now, and was not some seconds ago", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/jobs");
    const due = tab.part("jobs").locator("time[data-due]").first();
    await due.waitFor({ state: "attached" });
    await until("it says now", () => due.evaluate((time) => {
      time.dateTime = new Date(Date.now() - 3000).toISOString();
      return new Promise((done) => setTimeout(() => done(time.textContent === "now"), 1200));
    }), 10);
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
