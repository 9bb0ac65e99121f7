#!/usr/bin/env bash
# Apache Spark with Delta Lake, to see that it reads our tables: PySpark from PyPI, Delta's jars from Maven Central. Nothing else needs it.
#
#   scripts/spark.sh fetch        download what is missing (idempotent; about 450 MB)
#   scripts/spark.sh read LAKE    fetch, then read every table of the lake; prints what tests/readers/spark.py prints
#   scripts/spark.sh sql TEXT     fetch, then run statements by spark-sql, with Delta Lake's: delta.`/path/of/a/table`
#
# Needs Java 17 or later and, to fetch, python3 and mvn. Without them it prints a line that starts with SKIPPED and exits with 77.
set -euo pipefail

SPARK_VERSION=4.0.1
DELTA_VERSION=4.0.1
CACHE="${TRIBUTARY_CACHE:-$HOME/.cache/tributary}/spark"
VENV="$CACHE/venv-$SPARK_VERSION"
JARS="$CACHE/delta-$DELTA_VERSION"
HERE=$(cd "$(dirname "$0")/.." && pwd)

skip() { echo "SKIPPED $*" >&2; exit 77; }
die() { echo "spark.sh: $*" >&2; exit 1; }

need_java() {
  command -v java >/dev/null || skip "Apache Spark: there is no java; Java 17 or later is needed"
  local major
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge 17 ] || skip "Apache Spark: java is version ${major:-unknown}; 17 or later is needed"
}

fetch_python() {
  [ -e "$VENV/.complete" ] && return
  rm -rf "$VENV"
  python3 -m venv "$VENV" 2>/dev/null || skip "Apache Spark: python3 cannot make a virtual environment"
  if ! "$VENV/bin/pip" install -q "pyspark==$SPARK_VERSION" >"$CACHE/pip.log" 2>&1; then
    tail -3 "$CACHE/pip.log" >&2
    skip "Apache Spark: PyPI did not deliver pyspark $SPARK_VERSION"
  fi
  touch "$VENV/.complete"
}

fetch_jars() {
  [ -e "$JARS/.complete" ] && return
  command -v mvn >/dev/null || skip "Apache Spark: there is no mvn to fetch Delta's jars with"
  local work
  work=$(mktemp -d "$CACHE/fetch.XXXXXX")
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>fetch</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>io.delta</groupId><artifactId>delta-spark_2.13</artifactId><version>$DELTA_VERSION</version></dependency>
</dependencies></project>
POM
  if ! mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/lib" -DincludeScope=runtime >"$work/log" 2>&1; then
    tail -5 "$work/log" >&2
    rm -rf "$work"
    skip "Apache Spark: Maven Central did not deliver Delta $DELTA_VERSION"
  fi
  touch "$work/lib/.complete"
  rm -rf "$JARS"
  mv "$work/lib" "$JARS"
  rm -rf "$work"
}

fetch() {
  need_java
  mkdir -p "$CACHE"
  fetch_python
  fetch_jars
}

case "${1:-}" in
  fetch) fetch ;;
  read)
    [ -d "${2:-}" ] || die "read needs the folder of a lake"
    fetch
    # Loopback only: Spark's own services listen, too.
    SPARK_LOCAL_IP=127.0.0.1 SPARK_LOCAL_HOSTNAME=localhost "$VENV/bin/python" "$HERE/tests/readers/spark.py" "$2" "$JARS"
    ;;
  sql)
    [ -n "${2:-}" ] || die "sql needs statements"
    fetch
    # Its own catalogue writes below the current folder.
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    PATH="$VENV/bin:$PATH" SPARK_LOCAL_IP=127.0.0.1 SPARK_LOCAL_HOSTNAME=localhost "$VENV/bin/spark-sql" --master 'local[2]' \
      --jars "$(echo "$JARS"/*.jar | tr ' ' ,)" \
      --conf spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension \
      --conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog \
      --conf spark.databricks.delta.snapshotPartitions=2 --conf spark.sql.shuffle.partitions=2 --conf spark.ui.enabled=false \
      --conf spark.sql.session.timeZone=UTC --conf spark.driver.host=127.0.0.1 --conf spark.driver.bindAddress=127.0.0.1 -e "$2"
    ;;
  *) die "fetch, read LAKE or sql TEXT" ;;
esac
