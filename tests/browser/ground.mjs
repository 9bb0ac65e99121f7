// What the tests stand on besides the browser: the API, PostgreSQL by psql, and a word to whoever has started the server.
//
// Assumes psql on the PATH. Promises that no wait is without a deadline and that a failed one says what it waited for. `ask` speaks to
// tests/e2e/console.py: a line `@ask WORD` on stdout, an answer of one line on stdin.

import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export const JOB = "lakehouse_bronze_to_gold";
export const DOOMED = "doomed_numbers";
export const STREAM = "user_events";

export class Wrong extends Error {}

/// The condition must hold.
export function must(condition, what) {
  if (!condition) throw new Wrong(what);
}

export function same(found, wanted, what) {
  must(found === wanted, `${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/// Waits until `look()` gives something true, and gives it back.
export async function until(what, look, seconds = 20, every = 100) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    must(Date.now() < end, `${what}: not within ${seconds} s`);
    await pause(every);
  }
}

export class Ground {
  #answers;

  constructor({ url, database, control }) {
    this.url = url;
    this.database = database;
    this.control = control;
  }

  /// Rows of PostgreSQL as objects.
  sql(text) {
    const command = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", this.database, "-c",
      `SELECT coalesce(json_agg(row_to_json(asked)), '[]') FROM (${text}) asked`];
    return new Promise((done, failed) => {
      execFile("psql", command, { timeout: 20_000, maxBuffer: 1 << 24 }, (error, out, said) =>
        error ? failed(new Error(`psql: ${said || error.message}`)) : done(JSON.parse(out)));
    });
  }

  /// The one value of the one row.
  async one(text) {
    const [row] = await this.sql(text);
    return row && Object.values(row)[0];
  }

  /// Nobody else gets at a published table until the function that this returns is called; a run that publishes waits, and tries again later.
  async hold(table = "gold.daily_active_users") {
    const child = spawn("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", this.database], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.write(`BEGIN;\nLOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE;\n\\echo held\n`);
    await new Promise((done, failed) => {
      child.stdout.once("data", done);
      child.once("exit", (status) => failed(new Error(`psql ended with ${status}`)));
    });
    child.removeAllListeners("exit");
    return () => new Promise((done) => child.once("exit", done) && child.stdin.end("ROLLBACK;\n"));
  }

  /// (status, JSON) of the API; with a body by POST.
  async api(path, body) {
    const more = body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    const answer = await fetch(`${this.url}/api/v1/${path}`, { ...more, signal: AbortSignal.timeout(20_000) });
    const text = await answer.text();
    must(answer.ok, `/api/v1/${path}: ${answer.status} ${text.slice(0, 300)}`);
    return JSON.parse(text);
  }

  newest(job = JOB) {
    return this.one(`SELECT coalesce(max(id), 0) FROM ops.runs WHERE job = '${job}'`);
  }

  /// The run that somebody has asked for after `before`.
  asked(before, job = JOB, trigger = "manual") {
    return until(`a run of ${job} that was asked for (${trigger})`, async () =>
      (await this.sql(`SELECT * FROM ops.runs WHERE job = '${job}' AND trigger = '${trigger}' AND id > ${before} ORDER BY id LIMIT 1`))[0]);
  }

  async state(id) {
    return this.one(`SELECT state FROM ops.runs WHERE id = ${id}`);
  }

  reaches(id, ...states) {
    return until(`run ${id} is ${states.join(" or ")}`, async () => states.includes(await this.state(id)), 60);
  }

  /// Nothing of a job waits or runs, so that the next run begins at once.
  quiet(job = JOB) {
    return until(`no run of ${job} waits or runs`, async () =>
      !(await this.one(`SELECT count(*) FROM ops.runs WHERE job = '${job}' AND state IN ('queued', 'running')`)), 60);
  }

  actions() {
    return this.one("SELECT count(*) FROM ops.actions");
  }

  /// Does something, which must leave so many rows about what people did.
  async leaves(rows, what, act) {
    const before = await this.actions();
    const result = await act();
    if (rows) await until(`${what}: a row in ops.actions`, async () => (await this.actions()) > before, 5);
    same(await this.actions(), before + rows, `${what}: rows in ops.actions`);
    return result;
  }

  /// A word to whoever has started the server; what is answered.
  async ask(word) {
    this.#answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    process.stdout.write(`@ask ${word}\n`);
    const { value } = await this.#answers.next();
    same(value, "done", `asked to ${word}`);
  }

  leave() {
    process.stdin.destroy();
  }
}
