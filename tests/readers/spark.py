"""Reads every table of a lake by Apache Spark and Delta Lake, with the questions of read.py.

    spark.py LAKE JARS     prints one JSON object: table -> {version, rows_at_oldest, operations, answers}

Reads each table as it is, at the oldest version that its log still has, and its history. Started by scripts/spark.sh.
"""

import json
import pathlib
import sys

from pyspark.sql import SparkSession
from tables import plain, select, tables


def session(jars):
    """Local, on loopback, without its web page."""
    builder = SparkSession.builder.master("local[2]").appName("readers")
    settings = {
        "spark.jars": ",".join(str(jar) for jar in sorted(pathlib.Path(jars).glob("*.jar"))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Fifty tasks to read a log of some files is for clusters.
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def read(spark, folder):
    """What Spark finds in one table."""
    frame = spark.read.format("delta").load(str(folder))
    schema = json.loads(frame.schema.json())
    fields = [(field["name"], field["type"] if isinstance(field["type"], str) else "nested") for field in schema["fields"]]
    frame.createOrReplaceTempView("t")
    statement = select(fields, "t").replace('"', "`").replace("AS VARCHAR", "AS STRING")
    answers = plain(spark.sql(statement).first().asDict())
    history = spark.sql(f"DESCRIBE HISTORY delta.`{folder}`").select("version", "operation").collect()
    checkpoints = [int(path.name[:20]) for path in (folder / "_delta_log").glob("*.checkpoint.parquet")]
    entries = [int(path.name[:20]) for path in (folder / "_delta_log").glob("*.json")]
    oldest = 0 if 0 in entries else min(checkpoints)
    at_oldest = spark.read.format("delta").option("versionAsOf", oldest).load(str(folder)).count()
    return {
        "version": max(row["version"] for row in history),
        "oldest": oldest,
        "rows_at_oldest": at_oldest,
        "operations": sorted({row["operation"] for row in history}),
        "answers": answers,
    }


def main(lake, jars):
    spark = session(jars)
    try:
        print(json.dumps({name: read(spark, folder) for name, folder in tables(lake)}, indent=1))
    finally:
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
