#!/usr/bin/env python3
"""Ten minutes with a PostgreSQL outage, a restart of the broker and a burst of malformed records: which alerts fire, and what was counted.

    alerts.py [--minutes 10] [--rate 200] [--broker-gone]

Assumes a `prometheus` (prometheus.py says where) and a rate at which the machine has time to spare. The steps wait for what they are about,
so a busy machine takes longer and nothing else. Promises by Prometheus's own API that exactly the alerts of EXPECTED fire, each after what
caused it, that no alert pages for a store that is away for a minute or a broker that restarts, and that all is quiet again at the end;
then that what the health dashboard says of the period is what `tributary audit` counts (counted.py).

With --broker-gone the broker stays away until somebody is paged, and comes back.
"""

import argparse
import time
from datetime import datetime

import counted
from lab import Lab
from procs import Failure, conclude, wait_for
from prometheus import Server

NAME, PRODUCER = "tributary", "producer"
ALWAYS = "TributaryWatchdog"
# Labels that tell alerts of one name apart.
APART = ("leg", "actor", "kind", "job_name", "table")
# Seconds.
QUIET, OUTAGE = 60, 60
# Of five minutes' records so many are bad; the threshold is 1 %.
BAD = 0.03
# Alert -> (labels that it must have, what causes it, why that is right). No other may fire.
EXPECTED = {
    "TributaryPostgresAway": ({"severity": "ticket"}, "PostgreSQL is killed", "every attempt to connect fails until it is back"),
    "TributaryCommitsFailing": ({"severity": "ticket", "leg": "serving"}, "PostgreSQL is killed", "no window is merged; bronze goes on"),
    "TributaryDeadLetters": ({"severity": "ticket"}, "malformed records", f"{BAD:.0%} of five minutes' records are bad"),
}
GONE = {"TributaryKafkaAway": ({"severity": "page"}, "the broker is gone", "no broker answers for a minute")}
# What must keep silent although something of its kind happens, and why.
SILENT = {
    "TributaryLegDetached": "serving is detached after 30 s and back within a minute or so; ten are allowed",
    "TributaryActorErrors": "a leg that is detached is no failure of an actor: nothing was rebuilt",
    "TributaryNobodyLeads": "the lease is given up after 30 s, and taken again as soon as PostgreSQL is back; a minute is allowed",
    "TributaryDataStale": f"an outage of {OUTAGE} s is below the budget: it pages when 14.4 % of an hour, about nine minutes, were stale",
    "TributaryLatencyHigh": "the commits that catch up are few among all of the hour",
    "TributaryPromiseMissed": "they are few among those of half an hour, too; and five minutes are allowed",
    "TributaryLatencyBudget": "of some minutes' commits those that catch up are more than one in a hundred; an hour is allowed",
    "TributaryKafkaAway": "a broker that restarts is back within a minute",
    "TributaryEventsTooFew": "serving stands still for a minute; five are allowed",
    "TributaryNoPurchases": "serving stands still for a minute; four are allowed",
    "TributaryPipelineRestarts": "a consumer that waits for its broker is not rebuilt",
    "TributaryRunFailed": "a run that PostgreSQL leaves alone is tried again",
}


class Journal:
    """What fires and what is pending, looked at again and again, with what happened meanwhile."""

    def __init__(self, lab, server):
        self.lab, self.server, self.began = lab, server, time.time()
        self.state, self.happened, self.pended = {}, [(self.began, "the beginning")], {}

    def happens(self, what):
        self.happened.append((time.time(), what))
        self.lab.say(f"* {what}")

    def when(self, what):
        """The moment at which that happened."""
        return next(at for at, name in self.happened if name == what)

    def look(self):
        """Asks Prometheus and says what changed."""
        alerts = self.server.api.get("/api/v1/alerts")["alerts"]
        now = {}
        for labels, state in ((a["labels"], a["state"]) for a in alerts if a["labels"]["alertname"] != ALWAYS):
            now[labels["alertname"], *(labels[key] for key in APART if key in labels)] = state
        for key in sorted({*now, *self.state}):
            if now.get(key) != self.state.get(key):
                self.lab.say(f"  {now.get(key, 'cleared'):<8} {' '.join(key)}")
                if now.get(key) == "pending":
                    self.pended.setdefault(key[0], self.happened[-1][1])
        self.state = now
        if not any(a["labels"]["alertname"] == ALWAYS for a in alerts):
            raise Failure(f"{ALWAYS} does not fire")
        return now

    def firing(self):
        return {key[0] for key, state in self.look().items() if state == "firing"}

    def wait(self, what, condition, seconds):
        """Waits for something and keeps looking meanwhile."""
        wait_for(what, lambda: (self.look(), condition())[1], seconds, every=1)

    def last(self, seconds):
        """Lets time pass, since that is what the step is about."""
        until = time.time() + seconds
        self.wait(f"{seconds} s", lambda: time.time() >= until, seconds + 30)


def fired(server, start, end):
    """Alert -> [(labels, first, last moment of firing)], by Prometheus's own series of its alerts; one that fires again is there again."""
    found, step = {}, 5
    for one in server.api.get("/api/v1/query_range", query='ALERTS{alertstate="firing"}', start=start, end=end, step=step)["result"]:
        times = [at for at, _value in one["values"]]
        begins = [at for before, at in zip([0, *times], times) if at - before > step]
        ends = [at for at, after in zip(times, [*times[1:], end + 2 * step]) if after - at > step]
        found.setdefault(one["metric"]["alertname"], []).extend((one["metric"], *span) for span in zip(begins, ends))
    return found


def quiet(journal):
    """A minute with events and nothing else."""
    server = journal.server
    server.wait("events come into both legs", 'count(rate(tributary_records_total[30s]) > 0) == 2', 120)
    journal.happens("a quiet minute")
    journal.last(QUIET)
    if journal.firing():
        raise Failure(f"nothing has happened, and there fires {sorted(journal.firing())}")
    journal.lab.say(f"  quiet; pending: {', '.join(sorted(key[0] for key in journal.state)) or 'nothing'}")


def postgres_away(journal, rate):
    """PostgreSQL dies and is started again after a minute; ends when the windows are fed as before."""
    lab, server = journal.lab, journal.server
    journal.happens("PostgreSQL is killed")
    lab.postgres.kill()
    journal.last(OUTAGE)
    lab.postgres.start()
    journal.happens("PostgreSQL is back")
    both = f'min(tributary_leg_attached) == 1 and on () sum(tributary_lag_records{{leg="serving"}}) < {10 * rate}'
    journal.wait("serving is detached no more, and has caught up", lambda: server.value(both), 120)
    journal.happens("the windows have caught up")


def broker_restart(journal, gone):
    """The broker ends; it is back as soon as Prometheus has seen that (with `gone`: as soon as somebody is paged)."""
    lab, server = journal.lab, journal.server
    journal.happens("the broker is gone" if gone else "the broker restarts")
    lab.broker.leave()
    down = time.monotonic()
    if gone:
        journal.wait("TributaryKafkaAway pages", lambda: "TributaryKafkaAway" in journal.firing(), 240)
    else:
        journal.wait("Prometheus knows that no broker answers", lambda: server.value("min(tributary_kafka_connected)") == 0, 30)
    lab.start_broker()
    lab.say(f"  the broker was away for {time.monotonic() - down:.0f} s")
    journal.wait("a broker answers", lambda: server.value("min(tributary_kafka_connected)") == 1, 60)
    journal.wait("records come again", lambda: server.value('sum(rate(tributary_records_total{leg="bronze"}[20s]))'), 60)
    journal.happens("the broker answers again")


def malformed(journal, rate):
    """A burst of records that are no events; ends when that is an alert."""
    journal.happens("malformed records")
    count = int(rate * 300 * BAD / 0.9)
    journal.lab.generate(count, 11, max(rate, 100), span="1m", flaws=("--malformed", "90%", "--duplicate", "5%"))
    journal.wait("all of them are sent", lambda: journal.lab.generator.ended() is not None, 120)
    truth = journal.lab.wait_generated(1)
    journal.wait("TributaryDeadLetters fires", lambda: "TributaryDeadLetters" in journal.firing(), 120)
    return truth


def judge(journal, expected, end):
    """Compares what fired with what was expected; returns what is wrong and prints the rest."""
    wrong, found = [], fired(journal.server, journal.began, end)
    if ALWAYS not in found:
        wrong.append(f"{ALWAYS} did not fire")
    found.pop(ALWAYS, None)
    clock = lambda at: f"{at - journal.began:.0f} s ({datetime.fromtimestamp(at):%H:%M:%S})"
    cleared = 0
    print("| alert | cause | fired | until | why |\n|---|---|---|---|---|")
    for name, (labels, cause, why) in expected.items():
        for metric, first, last in found.get(name, []):
            over = last < end - 5 and not any(key[0] == name for key in journal.state)
            cleared += over
            print(f"| {name} {metric.get('leg', '')} | {cause} | {clock(first)} | {clock(last) if over else 'still'} | {why} |")
            wrong += [f"{name} has {key}={metric.get(key)!r}, not {value!r}" for key, value in labels.items() if metric.get(key) != value]
            wrong += [] if over else [f"{name} has not cleared"]
            wrong += [] if first >= journal.when(cause) else [f"{name} fired before {cause}"]
        if len(found.get(name, [])) != 1:
            wrong.append(f"{name} fired {len(found.get(name, []))} times, not once")
    unexpected = {name: series for name, series in found.items() if name not in expected}
    wrong += [f"{name} fired at {clock(first)}: {metric}" for name, series in unexpected.items() for metric, first, _last in series]
    for name, why in SILENT.items():
        if name not in found:
            print(f"| {name} | {journal.pended.get(name, '')} | {'pending, never fired' if name in journal.pended else 'no'} | | {why} |")
    for name in sorted(set(journal.pended) - {*SILENT, *found}):
        print(f"| {name} | {journal.pended[name]} | pending, never fired | | |")
    line = f"alerts: fired {len(found)} expected {len(expected)} unexpected {len(unexpected)} cleared {cleared}"
    return line, wrong, found


def experiment(lab, server, args):
    """The timeline, then the numbers; returns the last lines and what is wrong."""
    expected = {**EXPECTED, **(GONE if args.broker_gone else {})}
    server.wait_scraped(2, 90)
    journal = Journal(lab, server)
    lab.instances[PRODUCER].start()
    quiet(journal)
    postgres_away(journal, args.rate)
    broker_restart(journal, args.broker_gone)
    truth = malformed(journal, args.rate)
    journal.wait("all alerts have cleared", lambda: not journal.firing(), 600)
    journal.happens("all has cleared")
    journal.wait("the time is over", lambda: time.time() >= journal.began + 60 * args.minutes, 60 * args.minutes + 30)
    end = time.time()
    line, wrong, found = judge(journal, expected, end)
    matches, numbers = counted.compare(lab, server, PRODUCER, (journal.began, end), truth, found)
    wrong += numbers
    return f"{line}; {matches}", wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long it lasts at least; alerts take the time that they hold")
    parser.add_argument("--rate", type=int, default=200, help="events per second")
    parser.add_argument("--broker-gone", action="store_true", help="the broker stays away until TributaryKafkaAway pages")
    args = parser.parse_args()
    with Lab("alerts", settings=[f"generator.events_per_second={args.rate}"]) as lab:
        lab.instance(NAME, roles="bronze,serving,batch").start()
        lab.instance(PRODUCER, roles="generator")
        lab.wait_ready(NAME)
        server = Server(lab.dir / "prometheus", {f"{name}:8082": f"127.0.0.1:{proc.http}" for name, proc in lab.instances.items()}).start()
        try:
            line, wrong = experiment(lab, server, args)
        finally:
            server.stop()
        for one in wrong:
            print(f"BAD   {one}")
        print(line, flush=True)
        if wrong:
            raise Failure("not the alerts or not the numbers that there should be")


if __name__ == "__main__":
    conclude(main)
