// What hands are for: keys, copying, the theme, filters of logs and their download.
//
// Assumes the contract's keys: `?` shows them, `g j` goes to Jobs, `r` on a job's page leads to running it. Promises that a key pressed in a
// field is text and nothing else.

import { readFileSync } from "node:fs";
import { JOB, must, same, until } from "./ground.mjs";

const path = (tab) => new URL(tab.page.url()).pathname;
const background = (tab) => tab.page.evaluate(() =>
  [document.body, document.documentElement].map((e) => getComputedStyle(e).backgroundColor).find((colour) => !/, 0\)$/.test(colour)));
const focused = (tab, what) => tab.page.evaluate((selector) => document.activeElement?.matches(selector), what);

export const tests = [
  { name: "`?` shows the keys, Escape hides them", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/");
    await tab.page.keyboard.press("?");
    const keys = tab.page.locator('dialog[open], [role="dialog"]:visible').first();
    await keys.waitFor({ state: "visible" });
    must(/jobs/i.test(await keys.innerText()), `the keys are not named: ${await keys.innerText()}`);
    must(!(await tab.barriers()).length, `barriers: ${(await tab.barriers()).join("; ")}`);
    await tab.page.keyboard.press("Escape");
    await keys.waitFor({ state: "hidden" });
  } },
  { name: "`g j` goes to Jobs from anywhere, but not while something is typed", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/query");
    await tab.page.locator('[name="sql"]').first().fill("");
    await tab.page.locator('[name="sql"]').first().pressSequentially("g j?");
    same(path(tab), "/query", "page after typing g j into the query");
    same(await tab.page.locator('[name="sql"]').first().inputValue(), "g j?", "what was typed");
    same(await tab.page.locator("dialog[open]").count(), 0, "dialogs");
    await tab.go("/health");
    await tab.page.keyboard.press("g");
    await tab.page.keyboard.press("j");
    await until("Jobs is there", () => path(tab) === "/jobs", 5);
  } },
  { name: "`r` on a job's page leads to running it, and does not run it by itself", body: async ({ open, ground }) => {
    const tab = await open({});
    await tab.go(`/jobs/${JOB}`);
    await ground.leaves(0, "r", async () => {
      await tab.page.keyboard.press("r");
      await until("something of the run form has the focus", () => focused(tab, 'form[action$="/run"] *, dialog[open] *'), 5);
    });
  } },
  { name: "Tab reaches the content by a skip link, and the focus can be seen", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/jobs");
    await tab.page.keyboard.press("Tab");
    must(await focused(tab, 'a[href^="#"]'), "the first thing that Tab reaches is no skip link");
    for (let i = 0; i < 6; i++) {
      const ring = await tab.page.evaluate(() => {
        const style = getComputedStyle(document.activeElement);
        return style.outlineStyle !== "none" || style.boxShadow !== "none";
      });
      must(ring, `the focus cannot be seen on ${await tab.page.evaluate(() => document.activeElement.outerHTML.slice(0, 100))}`);
      await tab.page.keyboard.press("Tab");
    }
  } },
  { name: "a command is copied by a click, by Enter and by Space", body: async ({ open }) => {
    const tab = await open({});
    await tab.go(`/jobs/${JOB}`);
    const command = tab.page.locator("code.command[data-copy]").first();
    const wanted = (await command.innerText()).trim();
    must(wanted.startsWith("tributary "), `the first command is "${wanted}"`);
    const clipboard = () => tab.page.evaluate(() => navigator.clipboard.readText());
    for (const copy of [() => command.click(), () => command.press("Enter"), () => command.press(" ")]) {
      await tab.page.evaluate(() => navigator.clipboard.writeText("nothing yet"));
      await copy();
      await until("the command is in the clipboard", async () => (await clipboard()) === wanted, 5);
    }
  } },
  { name: "the theme can be turned, and stays turned on the next page", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/");
    const before = await background(tab);
    const toggle = () => tab.page.getByRole("button", { name: /theme|dark|light/i }).first();
    // It may go by way of "as the system": that looks as before.
    for (let i = 0; i < 3 && (await background(tab)) === before; i++) await toggle().click();
    const after = await background(tab);
    must(after !== before, `the background stays ${before}`);
    await tab.go("/jobs");
    same(await background(tab), after, "background on the next page");
    await tab.page.reload();
    same(await background(tab), after, "background after it was loaded anew");
  } },
  { name: "charts turn dark with the system while a page is open", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/");
    // Pixels of the first line's colour, as the style sheet has it at this moment.
    const pixels = () => tab.part("charts").locator("figure").first().evaluate((figure) => {
      const canvas = figure.querySelector("canvas");
      if (!canvas) return 0;
      const wanted = getComputedStyle(figure.querySelector(".swatch")).backgroundColor.match(/\d+/g).map(Number);
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4) found += data[i + 3] > 200 && wanted.every((part, at) => Math.abs(data[i + at] - part) < 8);
      return found;
    });
    await until("the line is drawn", pixels, 10);
    await tab.page.emulateMedia({ colorScheme: "dark" });
    await until("the line is drawn in the colour of the dark", pixels, 5);
    await tab.page.emulateMedia({ colorScheme: "light" });
    await until("and in that of the light again", pixels, 5);
  } },
  { name: "logs follow a run while it goes on", body: async ({ open, ground }) => {
    await ground.quiet();
    const release = await ground.hold();
    const tab = await open({});
    let id;
    try {
      const before = await ground.newest();
      await ground.api(`jobs/${JOB}/run`, {});
      ({ id } = await ground.asked(before));
      await until("it has said something", () => ground.one(`SELECT count(*) FROM ops.logs WHERE run_id = ${id}`));
      same(await tab.go(`/runs/${id}/logs`), 200, "status");
    } finally {
      await release();
    }
    await ground.reaches(id, "succeeded");
    const last = await ground.one(`SELECT message FROM ops.logs WHERE run_id = ${id} ORDER BY id DESC LIMIT 1`);
    await until("its last line is there", async () => (await tab.part("lines").innerText()).includes(last.split("\n")[0].slice(0, 60)), 15);
    same(tab.navigations, 1, "loads of the page");
  } },
  { name: "logs are filtered by task, level and text, and downloaded as they are shown", body: async ({ open, ground }) => {
    const run = await ground.one(`SELECT max(id) FROM ops.runs WHERE state = 'succeeded' AND job = '${JOB}'
      AND id IN (SELECT run_id FROM ops.logs WHERE task = 'silver')`);
    const tab = await open({ });
    await tab.go(`/runs/${run}/logs?task=silver`);
    const lines = await ground.sql(`SELECT task, message FROM ops.logs WHERE run_id = ${run} ORDER BY id`);
    const shown = await tab.part("lines").innerText();
    const first = (line) => line.message.split("\n")[0].slice(0, 60);
    const mine = lines.filter((line) => line.task === "silver").map(first);
    must(mine.every((text) => shown.includes(text)), `lines of silver are missing: ${mine.find((text) => !shown.includes(text))}`);
    const others = lines.filter((line) => line.task === "publish").map(first).filter((text) => !mine.some((own) => own.includes(text)));
    must(!others.some((text) => shown.includes(text)), "lines of publish show although silver was asked for");
    await tab.go(`/runs/${run}/logs?q=no-such-words-at-all`);
    must(!mine.some((text) => !"no-such-words-at-all".includes(text) && shown === text), "a text that nowhere is finds lines");
    await tab.go(`/runs/${run}/logs`);
    const begun = tab.page.waitForEvent("download", { timeout: 10_000 });
    await tab.page.locator('a[href*="logs.txt"]').first().click();
    const text = readFileSync(await (await begun).path(), "utf8");
    must(lines.every((line) => text.includes(first(line))), "the download misses lines");
  } },
  { name: "runs are filtered by job and state in their address", body: async ({ open, ground }) => {
    const tab = await open({});
    await tab.go("/runs?state=failed");
    const shown = await tab.part("runs").locator(".state[data-state]").evaluateAll((all) => all.map((e) => e.dataset.state));
    must(shown.length && shown.every((state) => state === "failed"), `states are ${[...new Set(shown)]}`);
    must((await ground.one("SELECT count(*) FROM ops.runs WHERE state = 'failed'")) >= 1, "no run has failed");
  } },
];
