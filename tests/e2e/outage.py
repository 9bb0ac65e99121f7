#!/usr/bin/env python3
"""Takes one store away under load, adds a partition meanwhile, gives it back: the other leg must stay fresh all the time.

    outage.py --sink postgres --minutes 3 --rate 2000
    outage.py --sink lake --short         the lake's disk full, then freed; half a minute of it, for every change

Samples the healthy leg throughout the outage and the catch-up, prints p50, p99 and max of its age, the peak of resident memory and
when the leg was detached and taken back. Exit status 1 when p99 is over the limit, memory over the promise or anything differs at the
end; 0 with SKIPPED and the reason when no small disk can be had for the lake.
"""

import argparse
import json
import sys
import time

from freshness import Watch, quantile
from lab import Lab
from procs import Failure, wait_for
from smalldisk import SmallDisk, Unavailable, move_into_own_namespace
from stores import Bronze, Windows
from verdict import drain, judge

NAME = "a"
LEG = {"postgres": "serving", "lake": "bronze"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sink", choices=sorted(LEG), required=True, help="what is taken away")
    parser.add_argument("--minutes", type=float, help="how long (3)")
    parser.add_argument("--rate", type=int, default=2000, help="events per second")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--limit", type=float, default=10, help="p99 of the healthy leg's age, seconds")
    parser.add_argument("--memory", type=int, default=256, help="resident memory at most, MiB")
    parser.add_argument("--patience", type=float, default=240, help="seconds for the catch-up")
    parser.add_argument("--how", choices=["stop", "kill", "freeze"], default="stop", help="what becomes of PostgreSQL")
    parser.add_argument("--enospc", action="store_true", help="let writes fail (no free space is kept back for them)")
    parser.add_argument("--short", action="store_true", help="25 s, and the stalling leg is detached sooner")
    args = parser.parse_args()
    args.seconds = 60 * args.minutes if args.minutes else (25 if args.short else 180)
    return args


class Leg:
    """What the instance says about the leg whose store is away: when it was detached, when it came back."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.detached_at = self.back_at = None

    def look(self):
        status, text = self.lab.get(NAME, "/status")
        if status != 200:
            return False
        stream = json.loads(text)["streams"][0]
        away = self.name in stream["catching_up"]
        if away and self.detached_at is None:
            self.detached_at = time.monotonic()
        here = self.name in stream["legs"] and not away
        if here and self.detached_at is not None and self.back_at is None:
            self.back_at = time.monotonic()
        if away:
            self.back_at = None
        return here


def take_away(lab, args, disk):
    """The ways in which a store can be away: gone politely, dead, silent, full."""
    if args.sink == "lake":
        disk.fill()
    else:
        {"stop": lab.postgres.stop, "kill": lab.postgres.kill, "freeze": lab.postgres.freeze}[args.how]()


def give_back(lab, args, disk):
    if args.sink == "lake":
        disk.release()
    else:
        {"freeze": lab.postgres.thaw}.get(args.how, lab.postgres.start)()


def outage(lab, args, disk):
    """The experiment; returns what was seen."""
    total = int(args.rate * (args.seconds + 15))
    lab.generate(total, args.seed, args.rate)
    wait_for("the topic is there", lambda: lab.partitions() > 0, 30)
    instance = lab.instance(NAME).start()
    lab.wait_ready(NAME)
    healthy = Bronze(lab.lake) if args.sink == "postgres" else Windows(lab.postgres.url)
    wait_for("the first rows are in both stores", lambda: Bronze(lab.lake).next_offsets() and Windows(lab.postgres.url).next_offsets(), 60)
    watch = Watch(lab.kafka, healthy, lambda: instance.pid)
    watch.start()
    leg = Leg(lab, LEG[args.sink])
    wait_for("a quiet beginning", lambda: len(watch.samples) >= 12, 30)

    begin = time.monotonic()
    lab.say(f"{args.sink} goes away")
    take_away(lab, args, disk)
    added = False
    while (elapsed := time.monotonic() - begin) < args.seconds:
        leg.look()
        if not added and elapsed > args.seconds / 3:
            lab.say(f"partition added: {lab.add_partition()} now")
            added = True
        if not instance.runs():
            raise Failure(f"the instance ended during the outage:\n{instance.tail()}")
        time.sleep(0.2)
    lab.say(f"{args.sink} comes back")
    give_back(lab, args, disk)
    back = time.monotonic()
    wait_for(f"{leg.name} is fed by the main pipeline again", leg.look, args.patience, every=0.2)
    caught_up = time.monotonic()
    lab.say("caught up")
    lab.wait_generated(total / args.rate + args.patience)
    drain(lab, args.patience)
    p50, p99, worst = watch.finish()
    during = watch.between(begin, caught_up)
    phases = {"before": (0, begin), "away": (begin, back), "catching up": (back, caught_up + 2)}
    return {
        "memory": {name: watch.memory_between(*span) for name, span in phases.items()}, "leg": leg, "begin": begin, "back": back, "caught_up": caught_up, "samples": len(watch.samples), "all": (p50, p99, worst),
        "during": (quantile(during, 0.5), quantile(during, 0.99), max(during, default=0.0)), "peak": watch.peak, "failures": watch.failures,
        "restarts": json.loads(lab.get(NAME, "/status")[1] or "{\"streams\":[{}]}")["streams"][0].get("restarts"),
    }


def report(args, seen):
    """Prints the figures; returns what is over its limit."""
    leg, healthy = seen["leg"], "bronze" if args.sink == "postgres" else "windows"
    since = lambda at, base: "never" if at is None else f"{at - base:.1f} s"
    p50, p99, worst = seen["during"]
    print(f"{args.sink} away for {seen['back'] - seen['begin']:.0f} s at {args.rate}/s · {healthy} age p50={p50:.2f} s p99={p99:.2f} s "
          f"max={worst:.2f} s over {seen['samples']} samples (limit p99 {args.limit:g} s)")
    print(f"{leg.name} detached after {since(leg.detached_at, seen['begin'])}, back {since(leg.back_at, seen['back'])} after its store · "
          f"pipelines rebuilt: {seen['restarts']} · RSS peak {seen['peak'] >> 20} MiB (promise {args.memory} MiB)")
    print("memory: " + ", ".join(f"{name} {rss >> 20} MiB ({anon >> 20} anonymous)" for name, (rss, anon) in seen["memory"].items()))
    wrong = []
    if p99 > args.limit:
        wrong.append(f"{healthy} was not fresh: p99 {p99:.2f} s is over {args.limit:g} s")
    if seen["peak"] > args.memory << 20:
        wrong.append(f"memory: {seen['peak'] >> 20} MiB is over {args.memory} MiB")
    if leg.detached_at is None:
        wrong.append(f"{leg.name} was never detached: the outage has shown nothing")
    return wrong


def main():
    args = arguments()
    disk = None
    if args.sink == "lake":
        move_into_own_namespace()
    settings = ["pipeline.stall_after=2s"] if args.short else []
    if args.enospc:
        settings.append("pipeline.min_free_bytes=0")
    with Lab(f"outage-{args.sink}", settings) as lab:
        try:
            if args.sink == "lake":
                disk = SmallDisk(lab.lake)
            wrong = report(args, outage(lab, args, disk))
            missing, extra, mismatched, well = judge(lab)
            print(f"bronze missing={missing} extra={extra} · windows mismatched={mismatched}", flush=True)
            if wrong or not well:
                raise Failure("; ".join(wrong + ([] if well else ["the stores are wrong"])))
        finally:
            if disk:
                disk.close()


if __name__ == "__main__":
    try:
        main()
    except Unavailable as reason:
        print(f"SKIPPED: {reason}")
    except Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
