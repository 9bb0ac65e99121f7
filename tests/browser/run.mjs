// The tests of the console in a browser.
//
//   node run.mjs --url http://127.0.0.1:8082 --database postgres://… [--only TEXT] [--shots [--full]] [--control]
//
// Assumes a console with a filled lake; tests/e2e/console.py makes one and starts this. Promises a line for each test, the pictures of those that
// failed in target/console-shots/failed, at the end `browser: N passed, M failed`, and exit status 1 when one failed. --control: whoever has
// started this also starts and kills the server when it is asked to (ground.mjs); without it the tests that need that are skipped.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NARROW, Tab, WIDE, launch } from "./browser.mjs";
import { Ground, Wrong } from "./ground.mjs";
import { pages } from "./pages.mjs";
import * as actions from "./test_actions.mjs";
import * as hands from "./test_hands.mjs";
import * as live from "./test_live.mjs";
import * as every from "./test_pages.mjs";
import * as troubles from "./test_troubles.mjs";

const SHOTS = fileURLToPath(new URL("../../target/console-shots", import.meta.url));
const LOOKS = { light: { scheme: "light", viewport: WIDE }, dark: { scheme: "dark", viewport: WIDE }, narrow: { scheme: "light", viewport: NARROW } };

const { values: options } = parseArgs({
  options: {
    url: { type: "string" }, database: { type: "string" }, only: { type: "string", default: "" },
    shots: { type: "boolean" }, full: { type: "boolean" }, control: { type: "boolean" },
  },
});
if (!options.url || !options.database) {
  console.error("usage: run.mjs --url URL --database URL [--only TEXT] [--shots [--full]] [--control]");
  process.exit(2);
}

/// One test in a context of its own; what went wrong, or nothing.
async function tried(browser, ground, test) {
  const tabs = [];
  const open = async (look) => {
    tabs.push(await Tab.open(browser, ground.url, look));
    return tabs.at(-1);
  };
  try {
    await test.body({ open, ground });
    const trouble = tabs.flatMap((tab) => tab.trouble());
    if (trouble.length) throw new Wrong(`it went well, but:\n        ${[...new Set(trouble)].slice(0, 8).join("\n        ")}`);
    return null;
  } catch (error) {
    const name = test.name.replaceAll(/\W+/g, "-").slice(0, 80);
    for (const [i, tab] of tabs.entries()) await tab.page.screenshot({ path: `${SHOTS}/failed/${name}-${i}.png` }).catch(() => {});
    const also = error instanceof Wrong ? [] : tabs.flatMap((tab) => tab.trouble()).slice(0, 3);
    return [error instanceof Wrong ? error.message : `${error.stack}`.split("\n").slice(0, 12).join("\n        "), ...also].join("\n        ");
  } finally {
    await Promise.all(tabs.map((tab) => tab.close().catch(() => {})));
  }
}

async function runTests(browser, ground) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  const tests = [every, live, troubles, actions, hands].flatMap((room) => room.tests).filter((test) => test.name.includes(options.only));
  // A test that kills the server or moves many rows comes after those that only look.
  for (const test of tests) {
    const begun = Date.now();
    if (test.control && !options.control) {
      count.skipped++;
      console.log(`SKIPPED ${test.name} (nobody here can start and kill the server: tests/e2e/console.py --browser)`);
      continue;
    }
    const wrong = await tried(browser, ground, test);
    count[wrong ? "failed" : "passed"]++;
    console.log(`${wrong ? "FAILED " : "ok     "} ${test.name} (${((Date.now() - begun) / 1000).toFixed(1)} s)${wrong ? `\n        ${wrong}` : ""}`);
  }
  console.log(`browser: ${count.passed} passed, ${count.failed} failed${count.skipped ? `, ${count.skipped} skipped` : ""}`);
  return count.failed === 0 && count.passed > 0;
}

async function takeShots(browser, ground) {
  let taken = 0;
  for (const { shot, path } of (await pages(ground)).filter((page) => page.shot.includes(options.only))) {
    for (const [look, how] of Object.entries(LOOKS)) {
      const tab = await Tab.open(browser, ground.url, how);
      await tab.go(path);
      // Charts draw after the first parts have come.
      await tab.page.waitForTimeout(1200);
      await tab.page.screenshot({ path: `${SHOTS}/${shot}-${look}.png`, fullPage: options.full });
      await tab.close();
      taken++;
    }
  }
  console.log(`shots: ${taken} pictures in ${SHOTS}`);
  return taken > 0;
}

mkdirSync(`${SHOTS}/failed`, { recursive: true });
const ground = new Ground(options);
const browser = await launch();
let well = false;
try {
  well = await (options.shots ? takeShots : runTests)(browser, ground);
} finally {
  await browser.close();
  ground.leave();
}
process.exit(well ? 0 : 1);
