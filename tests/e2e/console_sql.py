"""What a stranger may type into the query: statements that change something, functions that read files, work without end, and HTML.

Assumes a filled lake, and that a query reads tables of the lake and nothing else. Promises that each text goes to the API and to the page, that an
answer of 200 counts as carried out, and that what must not exist afterwards is looked for on the disk.
"""

import html
import json
import threading
import time
from urllib.parse import quote, quote_plus

from console_http import Web, expect, plain
from procs import Failure, memory, wait_for

# The guard gives up after a minute; nothing may take more than a query's own limit and that.
LONGEST = 75
# What the process may grow by while a query without end is tried.
GROWTH = 700 << 20
BAD_WORDS = "<script>alert(1)</script>"
PICTURE = "<img src=x onerror=alert(2)>"


def statements(spot):
    """What changes something or reads what is no table; `spot` is a file that must not come to be."""
    yield from (f"COPY (SELECT 1) TO '{spot}'", f"COPY gold.kpi_dau TO '{spot}' STORED AS CSV", f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{spot}'",
                "INSERT INTO gold.kpi_dau VALUES (DATE '2026-01-01', 1)", "INSERT INTO gold.kpi_dau SELECT * FROM gold.kpi_dau",
                "UPDATE gold.kpi_dau SET dau_count = 0", "DELETE FROM silver.user_events", "TRUNCATE TABLE silver.user_events",
                "DROP TABLE silver.user_events", "DROP SCHEMA gold CASCADE", "ALTER TABLE gold.kpi_dau RENAME TO x",
                "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 'http://127.0.0.1:1/'",
                "CREATE TABLE x AS SELECT 1", "CREATE VIEW x AS SELECT 1", "CREATE OR REPLACE VIEW gold.kpi_dau AS SELECT 1", "CREATE SCHEMA x",
                "CREATE DATABASE x", "CREATE FUNCTION f() RETURNS INT RETURN 1", "SET datafusion.execution.target_partitions = 1",
                "SET datafusion.runtime.memory_limit = '100G'", "RESET datafusion.execution.batch_size", "BEGIN", "COMMIT", "PREPARE p AS SELECT 1",
                "EXECUTE p", "DEALLOCATE p", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE silver.user_events", "SELECT 1;;DROP TABLE silver.user_events --",
                "/* x */ DROP TABLE silver.user_events", "WITH x AS (SELECT 1) INSERT INTO gold.kpi_dau SELECT * FROM x", "VACUUM", "ATTACH '/etc/passwd'",
                "LOAD DATA INPATH '/etc/passwd' INTO TABLE x", "CALL x()", "GRANT ALL ON x TO y", "")
    for file in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/x.csv", "s3://bucket/x.parquet", "../../../etc/passwd"):
        yield f"SELECT * FROM '{file}'"
        yield f'SELECT * FROM "{file}"'
        yield from (f"SELECT * FROM {reader}('{file}')" for reader in ("read_csv", "read_parquet", "read_json", "read_text", "parquet_metadata", "csv", "glob"))
    yield "SELECT pg_read_file('/etc/passwd')"
    yield "SELECT * FROM pg_catalog.pg_shadow"


def a_query_changes_nothing_and_reads_tables_alone(lab, web):
    spot = lab.dir / "must-not-be"
    count = "SELECT count(*) AS n FROM gold.kpi_dau"
    before = expect(web.post("query", {"sql": count}), 200, count).json()
    for sql in statements(spot):
        answer = expect(web.post("query", {"sql": sql}), (400, 403, 404, 422), f"POST /api/v1/query {sql}")
        if answer.type != "application/problem+json" or not answer.json().get("detail"):
            raise Failure(f"{sql}: no reason: {answer.type} {answer.text[:200]}")
        expect(web.form("/query", f"sql={quote_plus(sql)}"), (400, 403, 404, 422), f"POST /query {sql}")
        page = web.get(f"/query?sql={quote(sql)}")
        if page.status not in (200, 400, 403, 404, 422) or b"root:" in page.body:
            raise Failure(f"GET /query?sql={sql}: {page.status} {plain(page.text)[:200]}")
    if spot.exists():
        raise Failure(f"{spot} was written")
    if rows(expect(web.post("query", {"sql": count}), 200, count).json()) != rows(before):
        raise Failure("a table has other rows than before")


def rows(answer):
    """The rows of an answer, whatever else it says."""
    return json.dumps(answer.get("rows", answer))


def work_without_end_is_given_up_and_memory_is_kept(lab, web):
    before = memory(lab.main.pid)[1]
    four = ", ".join(f"silver.user_events {name}" for name in "abcd")
    for sql in (f"SELECT count(*) FROM {four} WHERE a.user_id + b.user_id * c.user_id < d.user_id", f"SELECT * FROM {four}",
                f"SELECT a.event_id, array_agg(b.event_id || c.event_id) FROM {four} GROUP BY 1", f"SELECT * FROM {four} ORDER BY a.event_id, d.event_id",
                "SELECT repeat('x', 2000000000)", "SELECT count(*) FROM generate_series(1, 1000000000000)",
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
                f"SELECT {'(' * 3000}1{')' * 3000}", f"SELECT {' + '.join(['1'] * 9000)}", "SELECT " + "NOT " * 9000 + "true"):
        begun = time.monotonic()
        answer = web.post("query", {"sql": sql, "limit": 1_000_000_000})
        took = time.monotonic() - begun
        lab.steady(sql[:80])
        if answer.status not in (200, 400, 413, 422, 503, 504):
            raise Failure(f"{sql[:80]}: {answer.status} {answer.text[:200]}")
        if answer.status != 200 and not answer.json().get("detail"):
            raise Failure(f"{sql[:80]}: {answer.status} without a reason")
        if took > LONGEST or len(answer.body) > 32 << 20:
            raise Failure(f"{sql[:80]}: {took:.0f} s, {len(answer.body)} bytes")
        expect(web.get("/jobs"), 200, f"a page after {sql[:80]}")
    if (grown := memory(lab.main.pid)[1] - before) > GROWTH:
        raise Failure(f"memory grew by {grown >> 20} MiB")
    # What was given up must not go on.
    used = cpu(lab.main.pid)
    time.sleep(5)
    if (busy := (cpu(lab.main.pid) - used) / 5) > 1.2:
        raise Failure(f"5 s after the last query {busy:.1f} cores are still busy")


def cpu(pid):
    """Seconds of a core that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def twenty_queries_at_once_leave_the_pages_alone(lab, web):
    sql = "SELECT count(*) FROM silver.user_events a, silver.user_events b, silver.user_events c WHERE a.user_id + b.user_id < c.user_id"
    found = []

    def ask():
        found.append(Web(web.port).post("query", {"sql": sql}).status)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(20)]
    for thread in threads:
        thread.start()
    worst, until = 0, time.monotonic() + LONGEST
    while any(thread.is_alive() for thread in threads) and time.monotonic() < until:
        begun = time.monotonic()
        expect(Web(web.port, seconds=20).get("/jobs"), 200, "a page beside twenty queries")
        worst = max(worst, time.monotonic() - begun)
        time.sleep(0.3)
    for thread in threads:
        thread.join(LONGEST)
    if set(found) - {200, 503, 504, 400}:
        raise Failure(f"twenty queries at once: {found}")
    if worst > 3:
        raise Failure(f"a page took {worst:.1f} s beside twenty queries")


def what_others_wrote_is_text_and_never_html(lab, web):
    name = f"a{PICTURE}"
    sql = f"SELECT '{BAD_WORDS}' AS \"{name}\""
    word = quote(BAD_WORDS)
    places = {
        "a result": web.form("/query", f"sql={quote_plus(sql)}"),
        "an error": web.form("/query", f"sql={quote_plus(f'SELECT {chr(34)}{BAD_WORDS}{chr(34)} FROM silver.user_events')}"),
        "a query in the address": web.get(f"/query?sql={quote(BAD_WORDS + '</textarea>' + PICTURE)}"),
        "a filter of logs": web.get(f"/runs/1/logs?q={word}&task={word}&level={word}"),
        "a filter of runs": web.get(f"/runs?job={word}&state={word}&before={word}"),
        "a filter of dead letters": web.get(f"/deadletters?reason={word}&status={word}&stream={word}"),
        "a job": web.get(f"/jobs/{word}"), "a table": web.get(f"/tables/gold.{word}"), "a stream": web.get(f"/streams/{word}"),
        "a version": web.get(f"/tables/gold.kpi_dau?version={word}"), "a path": web.get(f"/{word}"), "an asset": web.get(f"/assets/{word}"),
        "a task": web.form("/jobs/lakehouse_bronze_to_gold/run", f"task={quote_plus(BAD_WORDS)}&dry_run=on"),
        "a day": web.form("/jobs/lakehouse_bronze_to_gold/backfill", f"from={quote_plus(BAD_WORDS)}&to=x"),
        "a replay": web.form("/deadletters/replay", f"reason={quote_plus(BAD_WORDS)}&stream={quote_plus(BAD_WORDS)}"),
        "a Host": web.ask("GET", "/", host=f"{BAD_WORDS}.example"),
    }
    for place, answer in places.items():
        if answer.status >= 500 or not answer.status:
            raise Failure(f"{place}: {answer.status} {plain(answer.text)[:200]}")
        if answer.type not in ("application/problem+json", "application/json", "text/plain") and any(bad in answer.text for bad in (BAD_WORDS, PICTURE)):
            raise Failure(f"{place}: HTML of a stranger is in the page")
    if html.escape(BAD_WORDS, quote=False) not in places["a result"].text:
        raise Failure(f"a result does not show what is in the row: {plain(places['a result'].text)[:400]}")
    # A record that nobody can read as an event: whoever may write to Kafka writes it.
    lab.produce([json.dumps({"event_id": BAD_WORDS, "user_id": PICTURE}), f"{BAD_WORDS}{PICTURE}", "\x00\x01\ufeff\u202e<b>"])

    def shown():
        page = expect(web.get("/deadletters"), 200, "/deadletters")
        if BAD_WORDS in page.text or PICTURE in page.text:
            raise Failure("/deadletters: a record's HTML is in the page")
        return "alert(1)" in page.text

    wait_for("the record shows on /deadletters", shown, 30, every=1)


ATTACKS = [a_query_changes_nothing_and_reads_tables_alone, what_others_wrote_is_text_and_never_html, work_without_end_is_given_up_and_memory_is_kept,
           twenty_queries_at_once_leave_the_pages_alone]
