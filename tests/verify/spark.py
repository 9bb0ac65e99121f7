#!/usr/bin/env python3
"""Spark reads every table of a lake, and finds what deltalake finds. By hand: it needs what the other tests do not.

    spark.py --lake data/lakehouse --jars 'jars/*'

Needs a Python with pyspark and deltalake, Java 17, and the jars of delta-spark for that Spark, for example from Maven:
io.delta:delta-spark_2.12:3.2.0 with pyspark 3.5. Reads every column of every row, the history, and the oldest version that the log
still has. Exit status 1 when anything differs.
"""

import argparse
import glob
import pathlib
import sys

from deltalake import DeltaTable
from pyspark.sql import SparkSession, functions


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lake", required=True)
    parser.add_argument("--jars", required=True, help="delta-spark, delta-storage and what they need")
    args = parser.parse_args()
    session = SparkSession.builder.master("local[2]").config("spark.jars", ",".join(glob.glob(args.jars)))
    session = session.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    session = session.config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    session = session.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    wrong = 0
    for log in sorted(pathlib.Path(args.lake).glob("*/*/_delta_log")):
        path, table = log.parent, DeltaTable(str(log.parent))
        rows = session.read.format("delta").load(str(path))
        # The hash makes it read every column.
        count, _ = rows.agg(functions.count("*"), functions.sum(functions.xxhash64(*rows.columns).cast("decimal(38,0)"))).first()
        versions = [row.version for row in session.sql(f"DESCRIBE HISTORY delta.`{path}`").select("version").collect()]
        oldest = session.read.format("delta").option("versionAsOf", min(versions)).load(str(path)).count() if versions else None
        same = count == table.count() and max(versions, default=-1) == table.version()
        wrong += not same
        print(f"{'ok   ' if same else 'WRONG'} {path.parent.name}.{path.name}: {count} rows by Spark, {table.count()} by deltalake, version "
              f"{table.version()}, {len(versions)} versions in the history, {oldest} rows in version {min(versions, default=None)}")
    session.stop()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
