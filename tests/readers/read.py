"""Reads every table of a lake by delta-rs, DuckDB and Polars, and says what each of them found.

    read.py LAKE     prints one JSON object: table -> {version, rows_by_tags, readers: {name: answers}}; exit code 1 when they differ

DuckDB reads through its delta extension where that can be loaded, else the files that delta-rs names.
"""

import json
import sys

import duckdb
import polars
from deltalake import DeltaTable, QueryBuilder
from tables import plain, select, tables


def by_delta_rs(table, fields):
    """delta-rs' own engine."""
    found = QueryBuilder().register("t", table).execute(select(fields, "t")).read_all()
    frame = polars.DataFrame(found)
    return plain(frame.row(0, named=True))


def by_duckdb(table, fields):
    """DuckDB, and by which way."""
    connection = duckdb.connect()
    uri = table.table_uri
    try:
        connection.execute("LOAD delta")
        way, source = "delta_scan", f"delta_scan('{uri}')"
    except duckdb.Error:
        files = ", ".join("'" + uri.replace("'", "''") + "'" for uri in table.file_uris())
        if not files:
            return None, "no files"
        way, source = "files", f"read_parquet([{files}], hive_partitioning = true)"
    row = connection.execute(select(fields, source)).fetchone()
    return plain(dict(zip([d[0] for d in connection.description], row))), way


def by_polars(folder, fields):
    """Polars' own scan."""
    frame = polars.scan_delta(str(folder))
    found = polars.SQLContext(t=frame).execute(select(fields, "t")).collect()
    return plain(found.row(0, named=True))


def spans(table, folder):
    """Rows by the tags of the live files, from the newest checkpoint and the entries after it; none where no live file has a tag."""
    log, tags, after = folder / "_delta_log", {}, -1
    checkpoints = sorted(log.glob("*.checkpoint.parquet"))
    if checkpoints:
        after = int(checkpoints[-1].name[:20])
        statement = "SELECT add.path, add.tags['tributary.spans'] FROM read_parquet(?) WHERE add.path IS NOT NULL"
        tags = dict(duckdb.connect().execute(statement, [str(checkpoints[-1])]).fetchall())
    for entry in sorted(log.glob("*.json")):
        if int(entry.stem) > after:
            for add in filter(None, (json.loads(line).get("add") for line in entry.read_text().splitlines())):
                tags[add["path"]] = (add.get("tags") or {}).get("tributary.spans")
    alive = {uri.split(str(folder) + "/", 1)[1] for uri in table.file_uris()}
    tags = [tag for path, tag in tags.items() if tag and path in alive]
    return sum(int(span.rsplit(":", 1)[1]) for tag in tags for span in tag.split(",") if span) if tags else None


def main(lake):
    report, differ = {}, False
    for name, folder in tables(lake):
        table = DeltaTable(str(folder))
        fields = [(field.name, getattr(field.type, "type", "nested")) for field in table.schema().fields]
        duck, way = by_duckdb(table, fields)
        readers = {"delta-rs": by_delta_rs(table, fields), "polars": by_polars(folder, fields)}
        if duck is not None:
            readers[f"duckdb ({way})"] = duck
        differ |= len({json.dumps(answers, sort_keys=True) for answers in readers.values()}) > 1
        report[name] = {"version": table.version(), "rows_by_tags": spans(table, folder), "readers": readers}
    print(json.dumps(report, indent=1))
    return 1 if differ or not report else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
