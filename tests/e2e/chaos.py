#!/usr/bin/env python3
"""Kills everything at random while events flow, then proves that each of them is in both stores once.

    chaos.py --kills 50 --seed 7 --events 5000000 [--seconds 300]
    chaos.py --short                      about two minutes, for every change

Prints its seed, a tally, and `bronze missing=0 extra=0 · windows mismatched=0`; exit status 1 when that line says anything else.
The same seed makes the same schedule and the same events; where exactly a kill lands is up to the machine.
"""

import argparse
import collections
import heapq
import itertools
import random
import time

from calm import all_together, say_goodbye
from lab import Lab
from procs import Failure, conclude, wait_for
from verdict import drain, judge

RESIDENT, GUESTS = "a", ("b", "c")
SESSION_SECONDS = 6
CALM_SECONDS = 30


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="two minutes: few of everything")
    parser.add_argument("--kills", type=int, help="SIGKILLs of instances")
    parser.add_argument("--broker-kills", type=int)
    parser.add_argument("--postgres-kills", type=int)
    parser.add_argument("--joins", type=int, help="times that an instance joins and leaves")
    parser.add_argument("--zombies", type=int, help="SIGSTOPs beyond the group's session")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--events", type=int)
    parser.add_argument("--seconds", type=float, help="how long the disturbances last")
    parser.add_argument("--patience", type=float, default=300, help="seconds for the drain afterwards")
    args = parser.parse_args()
    defaults = {"kills": 50, "broker_kills": 10, "postgres_kills": 10, "joins": 20, "zombies": 4, "events": 5_000_000, "seconds": 300}
    if args.short:
        defaults = {"kills": 6, "broker_kills": 1, "postgres_kills": 1, "joins": 2, "zombies": 1, "events": 300_000, "seconds": 60}
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


class Chaos:
    """The schedule, and what each entry of it does. Runs on one thread; what must happen later is scheduled, never slept for."""

    def __init__(self, lab, args):
        self.lab, self.args, self.random = lab, args, random.Random(args.seed)
        self.queue, self.order, self.tally = [], itertools.count(), collections.Counter()
        self.started = None
        self.surprises = []

    def at(self, seconds, action, *arguments):
        """Does `action` that long after the start."""
        heapq.heappush(self.queue, (seconds, next(self.order), action, arguments))

    def later(self, seconds, action, *arguments):
        self.at(time.monotonic() - self.started + seconds, action, *arguments)

    def plan(self):
        args, span, pick = self.args, self.args.seconds, self.random
        for action, times in ((self.kill, args.kills), (self.kill_broker, args.broker_kills), (self.kill_postgres, args.postgres_kills),
                              (self.freeze, args.zombies)):
            for _ in range(times):
                self.at(pick.uniform(0.02, 0.95) * span, action)
        # Slots of their own, so that the same guest does not join while it is here.
        slot = span / max(1, args.joins)
        for turn in range(args.joins):
            begin = turn * slot + pick.uniform(0.02, 0.3) * slot
            guest = GUESTS[turn % len(GUESTS)]
            self.at(begin, self.join, guest)
            self.at(min(begin + pick.uniform(0.5, 1.5) * slot, span), self.leave, guest, pick.random() < 0.7)
        self.at(pick.uniform(0.3, 0.7) * span, self.add_partition)

    def run(self):
        """Works the schedule off; looks after what ended by itself."""
        self.started = time.monotonic()
        while self.queue:
            due, _, action, arguments = self.queue[0]
            wait = due - (time.monotonic() - self.started)
            if wait > 0:
                time.sleep(min(wait, 0.2))
                self.watch()
                continue
            heapq.heappop(self.queue)
            action(*arguments)

    def watch(self):
        """What ends without being told to is a surprise; a service manager would start it again, and so do we."""
        lab = self.lab
        for proc in [*lab.instances.values(), lab.broker, lab.postgres.proc]:
            status = proc.ended()
            if status is not None:
                self.surprises.append(f"{proc.name} ended by itself with {status}:\n{proc.tail()}")
                lab.say(self.surprises[-1])
                proc.child = None
                {lab.broker: lab.start_broker, lab.postgres.proc: lab.postgres.start}.get(proc, proc.start)()

    def running(self):
        return [proc for proc in self.lab.instances.values() if proc.runs() and not proc.stopped]

    def kill(self):
        """SIGKILL of some instance that runs; it is started again soon."""
        candidates = self.running()
        if not candidates:
            self.later(0.3, self.kill)
            return
        victim = self.random.choice(candidates)
        victim.kill()
        self.tally["kills"] += 1
        self.later(self.random.choice((0, 0, 0.2, 1, 3)), self.revive, victim)

    def revive(self, proc):
        if not proc.runs() and not getattr(proc, "away", False):
            proc.start()

    def kill_broker(self):
        if not self.lab.broker.kill():
            self.later(1, self.kill_broker)
            return
        self.tally["broker kills"] += 1
        self.later(self.random.choice((0, 0.5, 2, 5)), self.revive_broker)

    def revive_broker(self):
        self.lab.start_broker()

    def kill_postgres(self):
        if not self.lab.postgres.kill():
            self.later(1, self.kill_postgres)
            return
        self.tally["PostgreSQL kills"] += 1
        self.later(self.random.choice((0, 0.5, 3, 8)), self.lab.postgres.start)

    def join(self, name):
        proc = self.lab.instance(name)
        proc.away = False
        if not proc.runs():
            proc.start()
        self.tally["joins"] += 1

    def leave(self, name, politely):
        proc = self.lab.instance(name)
        proc.away = True
        if not proc.runs():
            self.tally["leaves (already dead)"] += 1
        elif politely:
            begun = time.monotonic()
            status = proc.leave(30)
            self.tally["leaves"] += 1
            took = time.monotonic() - begun
            if status != 0 or took > 12:
                self.surprises.append(f"{name} left with {status} after {took:.1f} s:\n{proc.tail()}")
                self.lab.say(self.surprises[-1])
        else:
            proc.kill()
            self.tally["leaves by SIGKILL"] += 1

    def freeze(self):
        """SIGSTOP until the group has given its partitions away, then SIGCONT: it wakes with stale batches in hand."""
        candidates = self.running()
        if not candidates:
            self.later(0.5, self.freeze)
            return
        if len(candidates) == 1:
            # Nobody would take its partitions over.
            heir = next((name for name in (*GUESTS, RESIDENT) if not self.lab.instance(name).runs()), None)
            if heir is None:  # the others are frozen already
                self.later(1, self.freeze)
                return
            self.lab.instance(heir).away = False
            self.lab.instance(heir).start()
            self.tally["heirs"] += 1
            self.later(2, self.freeze)
            return
        victim = self.random.choice(candidates)
        victim.freeze()
        self.tally["zombies"] += 1
        self.later(SESSION_SECONDS + self.random.uniform(1, 4), victim.thaw)

    def add_partition(self):
        if not self.lab.broker.runs():
            self.later(1, self.add_partition)
            return
        self.tally["partitions now"] = self.lab.add_partition()


def evidence(lab):
    """What the disturbances have set off: a fence that never fenced has shown nothing."""
    text = "".join(proc.log.read_text(errors="replace") for proc in lab.instances.values())
    said = {"rebalances": "assigned partitions=", "fences (somebody else was first)": "another instance has moved",
            "legs detached": "it will catch up on its own", "pipelines rebuilt": "; rebuilding in", "panics": "panicked"}
    return {what: text.count(words) for what, words in said.items()}


def main():
    args = arguments()
    rate = args.events / (args.seconds + CALM_SECONDS)
    print(f"seed {args.seed} · {args.events} events at {rate:.0f}/s · {args.kills} kills, {args.broker_kills} of the broker, "
          f"{args.postgres_kills} of PostgreSQL, {args.joins} joins over {args.seconds:.0f} s", flush=True)
    settings = [f"kafka.session_timeout={SESSION_SECONDS}s"]
    with Lab("chaos", settings) as lab:
        lab.generate(args.events, args.seed, rate)
        wait_for("the topic is there", lambda: lab.partitions() > 0, 30)
        chaos = Chaos(lab, args)
        lab.instance(RESIDENT).start()
        lab.wait_ready(RESIDENT)
        lab.say("events flow")
        chaos.plan()
        chaos.run()
        lab.say("disturbances are over: " + ", ".join(f"{n} {what}" for what, n in sorted(chaos.tally.items())))
        for proc in lab.instances.values():
            proc.thaw()
        lab.say("all instances together, nothing disturbed: " + all_together(lab, (RESIDENT, *GUESTS)))
        lab.say(f"{GUESTS[0]} leaves politely: " + say_goodbye(lab, GUESTS[0]))
        truth = lab.wait_generated(args.seconds + args.patience)
        lab.say(f"generated {truth['records']['total']}")
        drain(lab, args.patience)
        chaos.watch()
        lab.say("drained")
        print("seen in the logs: " + ", ".join(f"{n} {what}" for what, n in evidence(lab).items()))
        missing, extra, mismatched, well = judge(lab)
        print("tally: " + ", ".join(f"{what}={n}" for what, n in sorted(chaos.tally.items())) + f", surprises={len(chaos.surprises)}")
        print(f"seed {args.seed} · bronze missing={missing} extra={extra} · windows mismatched={mismatched}", flush=True)
        if not well:
            raise Failure("the stores are wrong")
        if chaos.surprises:
            raise Failure(f"{len(chaos.surprises)} processes ended by themselves:\n" + "\n".join(chaos.surprises))


if __name__ == "__main__":
    conclude(main)
