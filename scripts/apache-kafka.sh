#!/usr/bin/env bash
# Apache Kafka without a container: its jars from Maven Central, one KRaft node on loopback, and its command-line tools.
# The conformance suite of broker/ and the topology of docker-compose.yml run against it; nothing else in this repository needs it.
#
#   scripts/apache-kafka.sh fetch              download what is missing (idempotent)
#   scripts/apache-kafka.sh start DIR PORT     start a broker with its data in DIR; prints "BOOTSTRAP PID"
#   scripts/apache-kafka.sh stop DIR           stop the broker of DIR, by its pid
#   scripts/apache-kafka.sh tool NAME ARGS...  run a tool: kafka-topics, kafka-console-consumer, kafka-consumer-groups, ...
#   scripts/apache-kafka.sh jars               fetch, then print the folder of the jars of the tools and of the broker of their version
#
# Needs Java 17 or later and, to fetch, mvn. Without them it prints a line that starts with SKIPPED and exits with 77.
set -euo pipefail

KAFKA_VERSION=4.4.0
# The tools were not published for that version; their protocol is negotiated, so an older one serves.
TOOLS_VERSION=4.3.1
LOG4J_VERSION=2.25.5
CACHE="${TRIBUTARY_CACHE:-$HOME/.cache/tributary}/kafka"
BROKER_LIB="$CACHE/broker-$KAFKA_VERSION"
TOOLS_LIB="$CACHE/tools-$TOOLS_VERSION"

skip() { echo "SKIPPED $*" >&2; exit 77; }
die() { echo "apache-kafka.sh: $*" >&2; exit 1; }

need_java() {
  command -v java >/dev/null || skip "Apache Kafka: there is no java; Java 17 or later is needed"
  local major
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge 17 ] || skip "Apache Kafka: java is version ${major:-unknown}; 17 or later is needed"
}

# fetch_into DIR GROUP:ARTIFACT:VERSION...   one class path per directory; the mark is written last
fetch_into() {
  local dir=$1 pom work
  shift
  [ -e "$dir/.complete" ] && return
  command -v mvn >/dev/null || skip "Apache Kafka: there is no mvn to fetch its jars with"
  mkdir -p "$CACHE"
  work=$(mktemp -d "$CACHE/fetch.XXXXXX")
  pom="$work/pom.xml"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>local</groupId><artifactId>fetch</artifactId><version>1</version><packaging>pom</packaging><dependencies>'
    local a
    for a in "$@"; do
      IFS=: read -r group artifact version <<<"$a"
      echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$pom"
  if ! mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$work/lib" -DincludeScope=runtime >"$work/log" 2>&1; then
    tail -5 "$work/log" >&2
    rm -rf "$work"
    skip "Apache Kafka: Maven Central did not deliver ${*##*:}"
  fi
  touch "$work/lib/.complete"
  rm -rf "$dir"
  mv "$work/lib" "$dir"
  rm -rf "$work"
}

fetch_broker() {
  need_java
  fetch_into "$BROKER_LIB" "org.apache.kafka:kafka_2.13:$KAFKA_VERSION" \
    "org.apache.logging.log4j:log4j-slf4j-impl:$LOG4J_VERSION" "org.apache.logging.log4j:log4j-core:$LOG4J_VERSION" \
    "org.apache.logging.log4j:log4j-1.2-api:$LOG4J_VERSION"
}

fetch_tools() {
  need_java
  fetch_into "$TOOLS_LIB" "org.apache.kafka:kafka-tools:$TOOLS_VERSION" "org.apache.kafka:kafka_2.13:$TOOLS_VERSION" \
    "org.apache.logging.log4j:log4j-slf4j-impl:$LOG4J_VERSION" "org.apache.logging.log4j:log4j-core:$LOG4J_VERSION"
}

# Logs go to a file of their own, or nowhere: standard output belongs to the tools.
log4j() {
  printf 'status = error\nrootLogger.level = %s\n' "$1"
  if [ -n "${2:-}" ]; then
    printf 'appender.f.type = File\nappender.f.name = f\nappender.f.fileName = %s\n' "$2"
    printf 'appender.f.layout.type = PatternLayout\nappender.f.layout.pattern = %%d %%p %%c %%m%%n\nrootLogger.appenderRef.f.ref = f\n'
  fi
}

is_ours() { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q "kafka.Kafka $2"; }

start() {
  local dir=${1:?DIR} port=${2:?PORT} controller pid
  fetch_broker
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  if [ -e "$dir/pid" ] && is_ours "$(cat "$dir/pid")" "$dir"; then
    cat "$dir/address"
    return
  fi
  controller=$((port + 1))
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
EOF
  log4j info "$dir/kafka.log" >"$dir/log4j2.properties"
  local java=(java -Xmx512m -Xms512m "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$BROKER_LIB/*")
  if [ ! -e "$dir/data/meta.properties" ]; then
    local id
    id=$("${java[@]}" kafka.tools.StorageTool random-uuid | tail -1)
    "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
      die "format failed: $(tail -3 "$dir/format.log")"
  fi
  setsid "${java[@]}" kafka.Kafka "$dir/server.properties" >"$dir/stdout.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$dir/pid"
  local _
  for _ in $(seq 1 600); do
    kill -0 "$pid" 2>/dev/null || die "the broker ended: $(tail -5 "$dir/stdout.log" "$dir/kafka.log" 2>/dev/null)"
    if grep -q 'Kafka Server started' "$dir/kafka.log" 2>/dev/null && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "127.0.0.1:$port $pid" | tee "$dir/address"
      return
    fi
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  die "the broker was not ready within 60 s: see $dir/kafka.log"
}

stop() {
  local dir=${1:?DIR} pid _
  dir=$(cd "$dir" && pwd)
  pid=$(cat "$dir/pid" 2>/dev/null) || return 0
  if is_ours "$pid" "$dir"; then
    kill "$pid"
    for _ in $(seq 1 300); do
      is_ours "$pid" "$dir" || break
      sleep 0.1
    done
    ! is_ours "$pid" "$dir" || kill -9 "$pid"
  fi
  rm -f "$dir/pid" "$dir/address"
}

tool() {
  local name=${1:?NAME} class
  shift
  case "$name" in
    kafka-topics) class=TopicCommand ;;
    kafka-console-consumer) class=consumer.ConsoleConsumer ;;
    kafka-console-producer) class=ConsoleProducer ;;
    kafka-consumer-groups) class=consumer.group.ConsumerGroupCommand ;;
    kafka-get-offsets) class=GetOffsetShell ;;
    kafka-delete-records) class=DeleteRecordsCommand ;;
    kafka-consumer-perf-test) class=ConsumerPerformance ;;
    kafka-producer-perf-test) class=ProducerPerformance ;;
    kafka-configs) class=kafka.admin.ConfigCommand ;; # it comes with the broker's classes
    *) die "no tool $name" ;;
  esac
  fetch_tools
  case "$class" in kafka.*) ;; *) class="org.apache.kafka.tools.$class" ;; esac
  local config="$TOOLS_LIB/log4j2.properties"
  [ -e "$config" ] || log4j off >"$config"
  exec java -Xmx256m "-Dlog4j2.configurationFile=$config" -cp "$TOOLS_LIB/*" "$class" "$@"
}

command=${1:-}
[ $# -gt 0 ] && shift
case "$command" in
  fetch) fetch_broker; fetch_tools ;;
  start) start "$@" ;;
  stop) stop "$@" ;;
  tool) tool "$@" ;;
  jars) fetch_tools; echo "$TOOLS_LIB" ;;
  *) sed -n '2,11p' "$0"; exit 2 ;;
esac
