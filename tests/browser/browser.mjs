// A real browser, one context per test, and everything that a person would not see but should not happen either.
//
// Assumes Chromium (Debian's package, or CHROMIUM names it) and playwright-core in node_modules. Promises that a context never knows what
// an earlier one did, and that errors on the console, exceptions, broken policies (CSP), failed requests and answers of 400 and more are
// kept: `trouble()` lists them, but for those that a test has said it provokes.

import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 360, height: 800 };
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

function executable() {
  const folders = process.env.PATH.split(delimiter);
  for (const path of [process.env.CHROMIUM, ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))]) {
    try {
      if (path) accessSync(path, constants.X_OK);
      if (path) return path;
    } catch {
      // the next one
    }
  }
  throw new Error("no Chromium here; run: scripts/setup.sh test");
}

export function launch() {
  // Chromium refuses its sandbox to root; to everybody else it stays on.
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  return chromium.launch({ executablePath: executable(), headless: true, args });
}

/// One tab in a context of its own.
export class Tab {
  /// look: { js, scheme, viewport, base }
  static async open(browser, base, { js = true, scheme = "light", viewport = WIDE } = {}) {
    const context = await browser.newContext({ baseURL: base, javaScriptEnabled: js, colorScheme: scheme, viewport, reducedMotion: "reduce" });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(base).origin });
    context.setDefaultTimeout(15_000);
    const tab = new Tab(context, await context.newPage());
    await tab.#watch();
    return tab;
  }

  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.found = [];
    this.allowed = [];
    this.bytes = 0;
    this.navigations = 0;
  }

  async #watch() {
    const { page } = this;
    const at = () => new URL(page.url()).pathname;
    page.on("console", (message) => message.type() === "error" && this.found.push(`${at()}: console: ${message.text()}`));
    page.on("pageerror", (error) => this.found.push(`${at()}: exception: ${error.message}`));
    page.on("response", (answer) => answer.status() >= 400 && this.found.push(`${answer.status()} ${answer.request().method()} ${answer.url()}`));
    page.on("framenavigated", (frame) => frame === page.mainFrame() && this.navigations++);
    // A page that is left ends its own requests; that is no failure.
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText ?? "";
      if (!why.includes("ERR_ABORTED")) this.found.push(`${why}: ${request.url()}`);
    });
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`CSP: ${event.violatedDirective} forbids ${event.blockedURI} (${event.sourceFile}:${event.lineNumber}) ${event.sample}`);
      });
    });
    const wire = await this.context.newCDPSession(page);
    await wire.send("Network.enable");
    wire.on("Network.loadingFinished", ({ encodedDataLength }) => (this.bytes += encodedDataLength));
    this.wire = wire;
  }

  /// This test provokes it: not counted as trouble.
  allow(...patterns) {
    this.allowed.push(...patterns);
  }

  trouble() {
    return this.found.filter((line) => !this.allowed.some((pattern) => pattern.test(line)));
  }

  /// Opens a page; its status.
  async go(path) {
    const answer = await this.page.goto(path, { waitUntil: "load" });
    return answer.status();
  }

  /// Unfolds what hides an element, by the summaries that a person would click.
  async #unfold(element) {
    await element.waitFor({ state: "attached" });
    await element.evaluate((e) => {
      for (let fold = e.closest("details"); fold; fold = fold.parentElement.closest("details")) if (!fold.open) fold.querySelector("summary").click();
    });
  }

  /// Presses the button of that name; waits for the page that follows, if one does.
  async press(name, within = this.page.locator("body")) {
    const button = within.getByRole("button", { name, exact: true, includeHidden: true }).first();
    await this.#unfold(button);
    await button.click();
    await this.page.waitForLoadState("load");
  }

  /// Fills a field of a form that posts to an address with this end; one that is hidden has its value from the page's own address.
  async fill(end, name, value) {
    const field = this.page.locator(`form[action$="${end}"] [name="${name}"]`).first();
    await this.#unfold(field);
    const [kind, type, has] = await field.evaluate((e) => [e.tagName, e.type, e.value]);
    if (type === "hidden") {
      if (has !== value) throw new Error(`the hidden field ${name} says ${has} instead of ${value}`);
    } else if (kind === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }

  part(name) {
    return this.page.locator(`section[data-part="${name}"]`);
  }

  text() {
    return this.page.locator("main").innerText();
  }

  /// What stands between this page and people who see, hear or move otherwise, by axe-core.
  async barriers() {
    const before = this.found.length;
    await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, {
        runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }, resultTypes: ["violations"],
      });
      return violations.map((v) => `${v.id} (${v.impact}): ${v.help}: ` +
        v.nodes.slice(0, 3).map((n) => `${n.target.join(" ")} ${n.any.concat(n.all)[0]?.message ?? ""}`).join(" | ") +
        (v.nodes.length > 3 ? ` and ${v.nodes.length - 3} more` : ""));
    });
    // Axe is no part of the page: what it did to the policy does not count.
    this.found.length = before;
    return violations;
  }

  close() {
    return this.context.close();
  }
}
