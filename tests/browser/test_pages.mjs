// What is true of every page: it is there, quiet, small, without barriers, and whole without JavaScript.
//
// Assumes a filled lake. Promises that one page's mistake does not hide another's: each test looks at all pages and lists what it found.

import { NARROW, WIDE } from "./browser.mjs";
import { STREAM, Wrong, must, same, until } from "./ground.mjs";
import { NAV, pages } from "./pages.mjs";

const LIMIT = 100 * 1024;

/// Looks at every page, one after another in one tab (`fresh`: each in one of its own, with nothing cached); all that is wrong at once.
async function onEvery({ open, ground }, look, check, fresh = false) {
  const wrong = new Map();
  let tab = await open(look);
  for (const page of await pages(ground)) {
    if (fresh) tab = await open(look);
    try {
      tab.found = [];
      same(await tab.go(page.path), 200, "status");
      await check(tab, page);
      const trouble = tab.trouble();
      must(!trouble.length, trouble.slice(0, 3).join("; "));
    } catch (error) {
      const what = error.message.split("\n").slice(0, 3).join(" ").slice(0, 500).replace(`${page.path}: `, "");
      wrong.set(what, [...(wrong.get(what) ?? []), page.path]);
    }
    tab.found = [];
    if (fresh) await tab.close();
  }
  const said = [...wrong].map(([what, where]) => `${where.slice(0, 4).join(", ")}${where.length > 4 ? ` and ${where.length - 4} more` : ""}: ${what}`);
  if (said.length) throw new Wrong(`${[...wrong.values()].flat().length} pages\n        ${said.join("\n        ")}`);
}

/// Name, heading, navigation, parts, commands: with JavaScript and without.
async function isWhole(tab, { page, heading, parts, forms }) {
  const { page: view } = tab;
  same(await view.locator("body").getAttribute("data-page"), page, "body[data-page]");
  same((await view.locator("h1").allInnerTexts()).map((text) => text.trim()).join("|"), heading, "h1");
  const links = view.getByRole("navigation").first().getByRole("link");
  const named = (await links.allTextContents()).map((text) => text.trim());
  const missing = NAV.filter((name) => !named.includes(name));
  must(!missing.length, `nav has no link named ${missing.join(", ")}; it has ${named.join(", ")}`);
  must((await view.title()).includes("Tributary"), "the title does not say Tributary");
  must(await view.locator("html[lang]").count(), "html has no lang");
  for (const part of parts) {
    same(await tab.part(part).count(), 1, `section[data-part=${part}]`);
    must((await tab.part(part).innerText()).trim(), `part ${part} is empty`);
  }
  for (const form of forms) must(await view.locator(`form[method="post" i][action$="${form}"]`).count(), `no form that posts to ${form}`);
  must(await view.locator("code.command[data-copy]").count(), "no code.command[data-copy]: the equal command is not shown");
}

/// Times are for people at a glance, and exact for those who point at them.
async function tellsTimes(tab) {
  const times = await tab.page.locator("main time").evaluateAll((all) =>
    all.map((time) => ({ datetime: time.getAttribute("datetime"), title: time.title, text: time.textContent.trim() })));
  for (const { datetime, title, text } of times) {
    must(datetime && !Number.isNaN(Date.parse(datetime)), `time "${text}": datetime is ${datetime}`);
    must(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/.test(title), `time "${text}": title is "${title}"`);
    const told = Date.parse(`${title.replace(" UTC", "Z").replace(" ", "T")}`);
    must(Math.abs(told - Date.parse(datetime)) < 1000, `time "${text}": title ${title} is not ${datetime}`);
  }
  return times;
}

async function stretches(tab) {
  return tab.page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const beyond = [...document.querySelectorAll("body *")].filter((e) => {
      const box = e.getBoundingClientRect();
      if (box.width === 0 || (box.right <= width + 1 && box.left + e.scrollWidth <= width + 1)) return false;
      for (let up = e.parentElement; up; up = up.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return false;
      return true;
    });
    const name = (e) => `${e.tagName.toLowerCase()}${e.id ? `#${e.id}` : ""}${e.className && e.className.baseVal === undefined ? `.${e.className}` : ""}`;
    return { over: document.documentElement.scrollWidth - width, beyond: beyond.slice(0, 4).map(name) };
  });
}

async function hasNoBarriers(tab) {
  const barriers = await tab.barriers();
  must(!barriers.length, barriers.join(" ; "));
}

const barriers = (name, look) => ({
  name: `every page has no barriers (WCAG 2.1 AA, by axe) ${name}`,
  body: (test) => onEvery(test, look, hasNoBarriers),
});

export const tests = [
  { name: "every page has its name, heading, navigation, parts, forms and command, and is live", body: (test) =>
    onEvery(test, {}, async (tab, page) => {
      await isWhole(tab, page);
      if (page.parts.length) await until("#live says live", () => tab.page.locator('#live[data-state="live"]').count(), 8);
      must(!(await tab.page.locator("#lost").isVisible()), "#lost shows although nothing is lost");
    }) },
  { name: "every page is whole without JavaScript", body: (test) =>
    onEvery(test, { js: false }, async (tab, page) => {
      await isWhole(tab, page);
      must(!(await tab.page.locator("#lost").isVisible()), "#lost shows although nothing is lost");
    }) },
  { name: "every page takes less than 100 KB with all that belongs to it", body: (test) =>
    onEvery(test, {}, async (tab) => {
      // The browser says of the last of them a moment later.
      await tab.page.waitForTimeout(100);
      must(tab.bytes > 0 && tab.bytes < LIMIT, `${tab.bytes} bytes`);
    }, true) },
  { name: "every time says its moment in UTC, and most say how long ago", body: async (test) => {
    let relative = 0;
    await onEvery(test, {}, async (tab) => {
      for (const { text } of await tellsTimes(tab)) relative += /\b(ago|now|in \d)/.test(text);
    });
    must(relative > 20, `only ${relative} times are relative`);
  } },
  { name: "every state has a shape and a word, not a colour alone", body: async (test) => {
    let states = 0;
    await onEvery(test, {}, async (tab) => {
      const found = await tab.page.locator("main .state[data-state]").evaluateAll((all) =>
        all.map((e) => ({ state: e.dataset.state, shape: e.querySelectorAll("svg").length, text: e.textContent.trim() })));
      for (const { state, shape, text } of found) must(shape === 1 && text, `state ${state}: ${shape} shapes and the words "${text}"`);
      states += found.length;
    });
    must(states > 20, `only ${states} states`);
  } },
  { name: "no page scrolls sideways at 360 pixels", body: (test) =>
    onEvery(test, { viewport: NARROW }, async (tab) => {
      const { over, beyond } = await stretches(tab);
      must(over <= 0, `${over} pixels too wide: ${beyond.join(", ")}`);
    }) },
  { name: "on a telephone the lists show states and buttons within the screen, each with what it is", body: async ({ open }) => {
    const tab = await open({ viewport: NARROW });
    for (const [path, part, what] of [
      ["/jobs", "jobs", ".state"], ["/jobs", "jobs", 'form[action$="/run"] button'], ["/runs", "runs", ".state"], ["/activity", "actions", ".state"],
      [`/streams/${STREAM}`, "partitions", ".state"],
    ]) {
      await tab.go(path);
      const shown = tab.part(part).locator(`tbody tr ${what}`).first();
      const box = await shown.boundingBox();
      must(box && box.x >= 0 && box.x + box.width <= NARROW.width, `${path}: ${what} is at ${JSON.stringify(box)}`);
      const label = await shown.evaluate((e) => getComputedStyle(e.closest("td"), "::before").content);
      must(/"(State|Actions|Outcome)"/.test(label), `${path}: ${what} is called ${label}`);
    }
  } },
  { name: "what the overview draws lies within its cards on every width", body: async ({ open }) => {
    const tab = await open({});
    await tab.go("/");
    for (const width of [360, 600, 861, 1024, 1180, 1280, 1359, 1366, 1440, 1920]) {
      await tab.page.setViewportSize({ width, height: 900 });
      const beyond = await tab.part("flow").evaluate((flow) => [...flow.querySelectorAll(".card *")].filter((e) =>
        e.getBoundingClientRect().right > e.closest(".card").getBoundingClientRect().right || (e.matches(".node") && e.scrollWidth > e.clientWidth))
        .map((e) => `${e.className} ${e.textContent.slice(0, 20)}`));
      must(!beyond.length, `${width} pixels: ${beyond.slice(0, 3).join(", ")}`);
    }
  } },
  { name: "a value of a table is one line, whole to those who select it", body: async ({ open }) => {
    for (const viewport of [WIDE, NARROW]) {
      const tab = await open({ viewport });
      await tab.go(`/tables/bronze.${STREAM}?rows=on`);
      const cells = await tab.part("preview").locator("td .cell").evaluateAll((all) =>
        all.map((e) => ({ text: e.textContent, high: e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight) })));
      must(cells.some(({ text }) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text)), "no cell is a UUID");
      const high = cells.find(({ high }) => high > 1.5);
      must(!high, `${viewport.width} pixels: ${high?.text} takes ${high?.high} lines`);
    }
  } },
  { name: "without JavaScript nothing says that a page is live", body: async ({ open }) => {
    const tab = await open({ js: false });
    await tab.go("/");
    must(!(await tab.page.locator("#live").isVisible()), "#live shows, and nothing keeps it true");
    must((await tab.page.locator(".tools").innerText()).includes("Reload"), "nothing says how to see news");
  } },
  barriers("in light, on a wide screen", { viewport: WIDE }),
  barriers("in dark, on a narrow screen", { viewport: NARROW, scheme: "dark" }),
  { name: "a page that is not there says so, with a way back, and so does a run, a job, a table and a stream", body: async ({ open }) => {
    for (const path of ["/nothing", "/runs/999999999", "/jobs/no_such_job", "/tables/gold.no_such_table", "/streams/no_such_stream"]) {
      const tab = await open({});
      tab.allow(/404/);
      same(await tab.go(path), 404, path);
      must(await tab.page.getByRole("navigation").count(), `${path}: no navigation`);
      must((await tab.page.locator("h1").innerText()).trim(), `${path}: no heading`);
      must(!tab.trouble().length, `${path}: ${tab.trouble()[0]}`);
      await tab.close();
    }
  } },
  { name: "every link of every page leads somewhere", body: async (test) => {
    const links = new Map();
    await onEvery(test, {}, async (tab, page) => {
      for (const href of await tab.page.locator("a[href]").evaluateAll((all) => all.map((a) => new URL(a.getAttribute("href"), location).href.split("#")[0]))) {
        if (new URL(href).origin === new URL(test.ground.url).origin && !links.has(href)) links.set(href, page.path);
      }
    });
    const dead = [];
    for (const [href, from] of links) {
      const answer = await fetch(href, { signal: AbortSignal.timeout(20_000) });
      await answer.arrayBuffer();
      if (answer.status !== 200) dead.push(`${answer.status} ${href} (on ${from})`);
    }
    must(links.size > 30, `only ${links.size} links`);
    must(!dead.length, `${dead.length} of ${links.size}: ${dead.slice(0, 8).join("; ")}`);
  } },
];
