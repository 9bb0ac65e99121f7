#!/usr/bin/env python3
"""Breaks the batch layer in every way that a bad week has, and recounts everything from bronze after each of them.

    batch_chaos.py --seed 7 [--kills 50] [--races 20] [--only after-each-task,late-rows]
    batch_chaos.py --short                about three minutes, for every change

Kills the coordinator after each task and at random, lets two of them race, takes PostgreSQL away while it is published to, sends late
rows for days that are closed, restores PostgreSQL from an old dump, edits a model, and compacts beside silver and beside a second
compactor. After every step silver, gold and PostgreSQL must be what bronze says, no day stale, no run lost from the history. The same
seed makes the same events and the same choices; where exactly a kill lands is up to the machine.
"""

import argparse
import itertools
import random
import subprocess
import time
from dataclasses import replace

from batch_lab import JOB, UPKEEP, BatchLab, verify
from procs import Failure, conclude, wait_for

LEADER, RIVAL = "batch", "rival"


class Chaos:
    """The steps. Each leaves everything running and settled."""

    def __init__(self, lab, args):
        self.lab, self.args, self.random = lab, args, random.Random(args.seed)
        self.seeds = itertools.count(args.seed * 1000)
        self.tally, self.tasks, self.took = {}, [], 1.0

    def make(self, **more):
        self.lab.make(self.args.rows, next(self.seeds), **more)

    def done(self, what):
        """A step is over: everything settles, and is judged."""
        self.lab.settle()
        self.lab.judge(what)
        self.tally[what.split(",")[0]] = self.tally.get(what.split(",")[0], 0) + 1

    def kill(self, name=LEADER):
        if not self.lab.coordinator(name).kill():
            raise Failure(f"{name} had ended by itself:\n{self.lab.coordinator(name).tail()}")
        self.lab.coordinator(name).start()

    def first(self):
        """A first run over some days; what later steps are measured against."""
        lab = self.lab
        for days_ago in (5, 4, 3, 0):
            self.make(days_ago=days_ago, hours=3)
        run = lab.queue()
        self.took = lab.wait_over(run)
        self.tasks = [task for task, in lab.ask("SELECT task FROM ops.tasks WHERE run_id = %s AND state = 'succeeded' ORDER BY id", run)]
        lab.say(f"the first run took {self.took:.1f} s; its tasks: {', '.join(self.tasks)}")
        if len(self.tasks) < 4:
            raise Failure(f"a run of {len(self.tasks)} tasks: {lab.told(run)}")
        self.done("first run")

    def after_each_task(self):
        """SIGKILL as soon as a task has ended, for each task."""
        # Each kill costs the time that the dead leader's lease still runs.
        tasks = self.tasks if not self.args.short else self.random.sample(self.tasks, min(2, len(self.tasks)))
        for task in tasks:
            self.make(days_ago=self.random.choice([0, 0, 1]))
            run = self.lab.queue()
            ended = lambda: self.lab.ask("SELECT 1 FROM ops.tasks WHERE run_id = %s AND task = %s AND ended_at IS NOT NULL", run, task)
            wait_for(f"task {task} of run {run} ends", ended, 60, every=0.002)
            self.kill()
            self.lab.wait_over(run)
            self.done(f"kill after a task, {task}")

    def at_random(self):
        """SIGKILL at any moment of a run, often of the same run again."""
        for _ in range(self.args.kills):
            self.make(days_ago=self.random.choice([0, 0, 0, 1, 3]))
            run = self.lab.queue()
            for _ in range(self.random.choice([1, 1, 2])):
                time.sleep(self.random.uniform(0, 1.3 * self.took))
                self.kill()
            self.lab.wait_over(run)
            self.done("kill at random")

    def races(self):
        """Two coordinators: both alive, or the leader a zombie that wakes up when the other has gone on."""
        self.lab.begin(LEADER, RIVAL)
        for turn in range(self.args.races):
            self.make(days_ago=self.random.choice([0, 2]))
            run = self.lab.queue(*([UPKEEP, "--task", "compact"] if turn % 4 == 3 else [JOB]))
            if turn % 2:
                time.sleep(self.random.uniform(0, self.took))
                self.freeze_leader(run)
            self.lab.wait_over(run)
            self.done("race of two coordinators")
        self.lab.coordinator(RIVAL).leave()

    def freeze_leader(self, run):
        """SIGSTOP until somebody else leads, then SIGCONT: it wakes up in the middle of what it believed to be its own."""
        leader = lambda: (self.lab.ask("SELECT epoch, holder FROM ops.leases WHERE name = 'batch'") or [(None, "")])[0]
        epoch, holder = leader()
        if holder not in (LEADER, RIVAL):
            raise Failure(f"who is {holder!r}?")
        victim = self.lab.coordinator(holder)
        victim.freeze()
        try:
            wait_for("the other one leads", lambda: leader()[0] not in (None, epoch), 60)
        finally:
            victim.thaw()
        self.lab.wait_over(run)

    def postgres_away(self):
        """PostgreSQL dies while it is published to."""
        for how in ("kill", "stop") if not self.args.short else ("kill",):
            self.make()
            run = self.lab.queue()
            publishing = lambda: self.lab.ask("SELECT 1 FROM ops.tasks WHERE run_id = %s AND task LIKE 'publish%%' AND started_at IS NOT NULL", run)
            wait_for("the run publishes", publishing, 60, every=0.001)
            getattr(self.lab.postgres, how)()
            time.sleep(self.random.uniform(0.5, 4))
            self.lab.postgres.start()
            self.lab.begin(LEADER)
            self.lab.wait_over(run, seconds=240, wanted=("succeeded", "failed"))
            self.done("PostgreSQL away while publishing")

    def late_rows(self):
        """Rows for three days that are closed long since."""
        for days_ago in (5, 4, 3):
            self.make(days_ago=days_ago)
        self.done("late rows for three closed days")

    def restore(self):
        """PostgreSQL goes back to a dump that is some runs old."""
        lab, dump = self.lab, self.lab.dir / "old.dump"
        programs, url = lab.postgres.bin, lab.postgres.url
        shell = lambda *words: subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=120)
        shell(f"{programs}/pg_dump", "-Fc", "-f", dump, url)
        kept = {run for run, in lab.ask("SELECT id FROM ops.runs")}
        for days_ago in (0, 4):
            self.make(days_ago=days_ago)
            lab.run_now()
        lab.coordinator(LEADER).kill()
        with lab.postgres.connect() as connection:
            connection.execute("DROP SCHEMA gold, ops, realtime CASCADE")
            connection.execute("DROP TABLE IF EXISTS _sqlx_migrations")
        # What cannot be restored here belongs to the superuser (the schema public); whatever counts is compared below.
        subprocess.run([f"{programs}/pg_restore", "--no-owner", "-d", url, dump], capture_output=True, timeout=120, check=False)
        lab.seen_runs = kept
        lab.begin(LEADER)
        self.done("PostgreSQL restored from an old dump")

    def edited_model(self):
        """A model is edited, and edited back: each time its table and what is published of it follow."""
        path = self.lab.models / "kpi_dau.sql"
        before = path.read_text(encoding="utf-8")
        lead, select = before[: before.upper().index("\nSELECT")], before[before.upper().index("\nSELECT"):].strip().rstrip(";")
        path.write_text(f"{lead}\nSELECT event_date, dau_count + 1000 AS dau_count FROM (\n{select}\n)\n", encoding="utf-8")
        now = verify.gold.TABLES["kpi_dau"]
        now = replace(now, sql=f"SELECT event_date, dau_count + 1000 AS dau_count FROM ({now.sql})")
        self.lab.run_now()
        self.lab.judge("a model edited", tables={"kpi_dau": now})
        path.write_text(before, encoding="utf-8")
        self.lab.run_now()
        self.done("a model edited")

    def compaction(self):
        """Compaction beside silver, and beside a second compactor that takes over from a frozen one."""
        self.lab.begin(LEADER, RIVAL)
        for turn in range(2 if self.args.short else 6):
            self.make(days_ago=self.random.choice([1, 2, 3]))
            both = [self.lab.queue(UPKEEP, "--task", "compact"), self.lab.queue()]
            if turn % 2:
                time.sleep(self.random.uniform(0, 0.5))
                self.freeze_leader(both[0])
            for run in both:
                self.lab.wait_over(run)
            self.done("compaction beside silver")
        self.lab.coordinator(RIVAL).leave()


STEPS = {"after-each-task": Chaos.after_each_task, "at-random": Chaos.at_random, "races": Chaos.races, "postgres-away": Chaos.postgres_away,
         "late-rows": Chaos.late_rows, "restore": Chaos.restore, "edited-model": Chaos.edited_model, "compaction": Chaos.compaction}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="three minutes: few of everything")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--kills", type=int, help="SIGKILLs at random (50)")
    parser.add_argument("--races", type=int, help="times that two coordinators race (20)")
    parser.add_argument("--rows", type=int, help="events per step (20000)")
    parser.add_argument("--only", help="steps, with commas: " + ", ".join(STEPS))
    args = parser.parse_args()
    for name, short, full in (("kills", 2, 50), ("races", 2, 20), ("rows", 3_000, 20_000)):
        if getattr(args, name) is None:
            setattr(args, name, short if args.short else full)
    args.steps = args.only.split(",") if args.only else list(STEPS)
    return args


def main():
    args = arguments()
    print(f"seed {args.seed} · {args.kills} kills at random, {args.races} races, {args.rows} events per step", flush=True)
    with BatchLab("batch-chaos") as lab:
        lab.start_bronze()
        lab.begin(LEADER)
        chaos = Chaos(lab, args)
        chaos.first()
        for step in args.steps:
            STEPS[step](chaos)
        print(lab.audit())
        for proc in lab.instances.values():
            if proc.ended() is not None:
                raise Failure(f"{proc.name} ended by itself:\n{proc.tail()}")
        print("tally: " + ", ".join(f"{what}={n}" for what, n in chaos.tally.items()) + f", runs={len(lab.seen_runs)}")
        print(f"seed {args.seed} · silver missing=0 extra=0 · gold mismatched=0 · postgres mismatched=0 · stale_days=0 · lost runs=0", flush=True)


if __name__ == "__main__":
    conclude(main)
