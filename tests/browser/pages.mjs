// Every page of the console, as the contract has it: address, name, heading, and the parts that change by themselves.
//
// Assumes a filled lake (tests/e2e/console_lab.py) when it is asked for addresses with a run in them. Promises one list for every test that
// is about all pages, so that a new page is named once.

import { JOB, STREAM } from "./ground.mjs";

export const NAV = ["Overview", "Jobs", "Tables", "Query", "Dead letters", "Health", "Settings", "Activity"];

/// [{ shot, path, page, heading, parts, forms }] with the newest runs of this lake.
export async function pages(ground) {
  const newest = (state) => ground.one(`SELECT max(id) FROM ops.runs WHERE state = '${state}'`);
  const done = await ground.one(`SELECT max(id) FROM ops.runs WHERE state = 'succeeded' AND job = '${JOB}'`);
  const failed = await newest("failed");
  const run = (shot, id) => ({
    shot, path: `/runs/${id}`, page: "run", heading: `Run ${id}`, parts: ["state", "gantt", "tasks", "tests", "logs"], forms: [],
  });
  const table = (shot, name, more = "") => ({
    shot, path: `/tables/${name}${more}`, page: "table", heading: name, parts: ["head", "columns", "versions", "files", "preview"], forms: [],
  });
  return [
    { shot: "overview", path: "/", page: "overview", heading: "Overview", parts: ["flow", "kpis", "charts"], forms: [] },
    { shot: "stream", path: `/streams/${STREAM}`, page: "stream", heading: STREAM, parts: ["state", "partitions"], forms: [] },
    { shot: "jobs", path: "/jobs", page: "jobs", heading: "Jobs", parts: ["jobs"], forms: [] },
    {
      shot: "job", path: `/jobs/${JOB}`, page: "job", heading: JOB, parts: ["state", "grid", "durations", "tasks"],
      forms: [`/jobs/${JOB}/run`, `/jobs/${JOB}/backfill`],
    },
    { shot: "runs", path: "/runs", page: "runs", heading: "Runs", parts: ["runs"], forms: [] },
    { shot: "runs-of-a-state", path: `/runs?job=${JOB}&state=succeeded`, page: "runs", heading: "Runs", parts: ["runs"], forms: [] },
    run("run", done),
    { ...run("run-failed", failed), forms: [`/runs/${failed}/retry`] },
    { shot: "logs", path: `/runs/${done}/logs`, page: "logs", heading: `Logs of run ${done}`, parts: ["lines"], forms: [] },
    { shot: "tables", path: "/tables", page: "tables", heading: "Tables", parts: ["tables"], forms: [] },
    { ...table("table-gold", "gold.kpi_dau"), parts: [...table("", "").parts, "model"] },
    table("table-silver", `silver.${STREAM}`),
    table("table-bronze", `bronze.${STREAM}`),
    table("table-version", `silver.${STREAM}`, "?version=1"),
    { shot: "query", path: "/query", page: "query", heading: "Query", parts: [], forms: ["/query"] },
    {
      shot: "deadletters", path: "/deadletters", page: "deadletters", heading: "Dead letters", parts: ["counts", "sample"],
      forms: ["/deadletters/replay"],
    },
    { shot: "health", path: "/health", page: "health", heading: "Health", parts: ["checks"], forms: [] },
    { shot: "settings", path: "/settings", page: "settings", heading: "Settings", parts: [], forms: [] },
    { shot: "activity", path: "/activity", page: "activity", heading: "Activity", parts: ["actions"], forms: [] },
  ];
}
