#!/usr/bin/env python3
"""What goes wrong with the batch layer by a person's hand or by the network, one thing after the other: what it says, what goes on all the
same, and that everything is right once it is mended.

    batch_mishaps.py [--only broken-models,lost-answer]
"""

import argparse
import shutil

from deltalake import DeltaTable
from deltalake.schema import Field

from batch_lab import JOB, BatchLab
from deaf import DeafProxy
from procs import Failure, conclude, wait_for


def model(front, select):
    """The text of a model."""
    return "".join(f"-- {line}\n" for line in front) + select + "\n"


PAGES = ("description: Events per page", "materialize: by_day", "key: event_date, page")
BY_PAGE = "SELECT event_date, page, COUNT(*) AS events FROM gold.fact_events GROUP BY event_date, page"


class Mishaps:
    """The scenes. Each begins with everything in order and ends with everything in order."""

    def __init__(self, lab):
        self.lab, self.seed, self.users = lab, 4000, 100

    def more(self, days_ago=0):
        """New events, of users who were not there before among them: there is something to do, and it shows in `dau`."""
        self.seed, self.users = self.seed + 1, self.users + 20
        self.lab.make(3_000, self.seed, days_ago=days_ago, users=self.users)

    def write(self, name, text):
        (self.lab.models / f"{name}.sql").write_text(text, encoding="utf-8")

    def remove(self, *names):
        for name in names:
            (self.lab.models / f"{name}.sql").unlink()

    def dau(self):
        """What a dashboard shows."""
        return self.lab.ask("SELECT event_date, dau_count FROM gold.daily_active_users ORDER BY 1")

    def failing_run(self, *words):
        """A run that must fail, as a person runs it; what the command and the history say of it."""
        status, out, error = self.lab.run("run", JOB, "--wait", seconds=120)
        run = self.lab.newest(JOB)
        if status != 1 or self.lab.state(run) != "failed":
            raise Failure(f"exit code {status}, run {self.lab.state(run)}: a failure was expected\n{out}{error}")
        told = out + error + self.lab.command("runs", "show", run)
        for word in words:
            if word not in told:
                raise Failure(f"{word!r} is not in what is said of run {run}:\n{told[:1500]}")
        return dict(self.lab.ask("SELECT DISTINCT ON (task) task, state FROM ops.tasks WHERE run_id = %s ORDER BY task, id DESC", run))

    def good_run(self, *options):
        self.lab.run_now(JOB, *options)

    def well(self, what):
        self.lab.settle()
        self.lab.judge(what)

    def broken_models(self):
        """Bad SQL, an unknown column, a cycle, bad front matter: said with file and line; the others are built and published."""
        self.write("bad_sql", model(PAGES, "SELECT event_date, page FROM gold.fact_events GROUP BY"))
        self.write("bad_column", model(PAGES, BY_PAGE.replace("COUNT(*)", "SUM(clicks)")))
        self.write("round_a", model(PAGES, BY_PAGE.replace("gold.fact_events", "gold.round_b")))
        self.write("round_b", model(PAGES, BY_PAGE.replace("gold.fact_events", "gold.round_a")))
        self.write("bad_front", model((*PAGES, "materialise: rollup"), BY_PAGE))
        self.more()
        before = self.dau()
        tasks = self.failing_run("bad_sql.sql, line 4", "bad_column.sql, line 4", "clicks", "cycle", "bad_front.sql, line 4", "materialise")
        wanted = {"bad_sql": "failed", "kpi_dau": "succeeded", "publish": "succeeded"}
        if any(tasks[task] != state for task, state in wanted.items()) or self.dau() == before:
            raise Failure(f"models that do not depend on it were held up: {tasks}")
        status, out, error = self.lab.run("models", "check")
        if status == 0 or "bad_sql.sql" not in out + error:
            raise Failure(f"models check: {status}\n{out}{error}")
        self.remove("bad_sql", "bad_column", "round_a", "round_b", "bad_front")
        self.well("broken models")

    def dropped_column(self):
        """A column that others select from is taken out of a model: they keep what they had published."""
        path = self.lab.models / "user_days.sql"
        text = path.read_text(encoding="utf-8")
        kept = (line for line in text.splitlines() if "total_purchases" not in line or line.startswith("-- test"))
        path.write_text("\n".join(kept).replace(", total_purchases", ""), encoding="utf-8")
        self.more()
        before = self.dau()
        tasks = self.failing_run("total_purchases", "kpi_conversion_rate")
        if tasks["kpi_purchases_per_page"] != "succeeded":
            raise Failure(f"a model that does not depend on it was held up: {tasks}")
        path.write_text(text, encoding="utf-8")
        self.well("a dropped column")
        if self.dau() == before:
            raise Failure("nothing was published after the mend")

    def failing_test(self):
        """A `fail` test keeps the old rows up and the new ones in the lake; a `warn` test does neither."""
        path = self.lab.models / "kpi_dau.sql"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("SELECT", "-- test warn: row_count(min=1000)\n-- test: row_count(min=1001)\nSELECT", 1), encoding="utf-8")
        self.more()
        before = self.dau()
        tasks = self.failing_run("row_count(min=1001)", "kpi_dau.sql, line")
        if self.dau() != before or tasks["kpi_dau"] != "succeeded" or tasks["checks"] != "failed" or tasks["publish"] != "succeeded":
            raise Failure(f"published although a test failed, or held up: {tasks}")
        path.write_text(text.replace("SELECT", "-- test warn: row_count(min=1000)\nSELECT", 1), encoding="utf-8")
        self.good_run()
        if self.dau() == before:
            raise Failure("a test that only warns held the rows back")
        path.write_text(text, encoding="utf-8")
        self.well("a failing test")

    def tests_of_everything(self):
        """A test of all rows is asked about all of them, also when one day alone is new or no row changed."""
        self.write("by_page", model(PAGES, BY_PAGE))
        self.good_run()
        rows = DeltaTable(str(self.lab.lake / "gold" / "by_page")).count()
        self.write("by_page", model((*PAGES, f"test: row_count(min={rows})", "test: unique(event_date, page)"), BY_PAGE))
        self.good_run()
        self.more(days_ago=2)
        self.good_run()
        self.lab.run_now("lakehouse_maintenance", "--task", "compact")
        self.good_run()
        self.remove("by_page")
        self.well("tests of all rows")

    def refused_table(self):
        """A table that PostgreSQL cannot take is left out; the others are published."""
        front = ("description: Nonsense", "materialize: by_day", "key: event_date", "publish: gold.twice_a_day")
        self.write("twice", model(front, "SELECT event_date, source FROM gold.fact_events GROUP BY event_date, source"))
        self.more()
        before = self.dau()
        tasks = self.failing_run("twice_a_day", "event_date")
        if tasks["publish"] != "failed" or self.dau() == before:
            raise Failure(f"one bad table stopped the others: {tasks}")
        self.remove("twice")
        self.well("a table that is refused")

    def no_checks(self):
        """A job of one's own that builds and publishes, without a task for tests: they are run all the same."""
        job = """name = "mine"
description = "Builds and publishes"
[[task]]
name = "silver"
run = "silver"
[[task]]
name = "models"
run = "models"
after = "silver"
[[task]]
name = "publish"
run = "publish"
after = "models"
"""
        (self.lab.jobs / "mine.toml").write_text(job, encoding="utf-8")
        self.more()
        before = self.dau()
        self.lab.run_now("mine")
        if self.dau() == before:
            raise Failure("a job without `checks` published nothing")
        (self.lab.jobs / "mine.toml").write_text(job + "oops = 1\n", encoding="utf-8")
        self.good_run()
        (self.lab.jobs / "mine.toml").unlink()
        self.well("a job without checks, and a broken file")

    def edited_then_a_day(self):
        """A model is edited and one day is asked for: no table has days of both."""
        path = self.lab.models / "kpi_dau.sql"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("COUNT(DISTINCT user_id)", "1000 * COUNT(DISTINCT user_id)"), encoding="utf-8")
        day = self.dau()[-1][0]
        self.good_run("--day", day)
        if any(count % 1000 for _, count in self.dau()):
            raise Failure(f"days of two models in one table: {self.dau()}")
        path.write_text(text, encoding="utf-8")
        self.well("edited, then one day")

    def lost_table(self):
        """A gold table's folder is deleted, and one is put in the place of another: it is built anew."""
        self.more()
        shutil.rmtree(self.lab.lake / "gold" / "kpi_events_per_source")
        self.good_run()
        self.well("a folder is gone")

    def new_column(self):
        """A field is added to the stream: silver has its column, in its log too."""
        lab = self.lab
        for proc in lab.instances.values():
            proc.leave()
        text = (lab.streams / "user_events.toml").read_text(encoding="utf-8")
        (lab.streams / "user_events.toml").write_text(text + '\n[[field]]\nname = "country"\ntype = "text"\n', encoding="utf-8")
        DeltaTable(str(lab.lake / "bronze" / "user_events")).alter.add_columns([Field("country", "string")])
        lab.start_bronze()
        lab.begin()
        self.write("countries", model(("description: Countries", "materialize: by_day", "key: event_date"),
                                      "SELECT event_date, COUNT(country) AS known FROM silver.user_events GROUP BY event_date"))
        self.more()
        self.good_run()
        names = [field.name for field in DeltaTable(str(lab.lake / "silver" / "user_events")).schema().fields]
        if "country" not in names:
            raise Failure(f"silver has {names}")
        self.remove("countries")
        self.well("a new column")

    def lost_history(self):
        """The rows of runs under way are gone (a dump was restored): nothing is held up, however often it happens."""
        for _ in range(2):
            self.more()
            run = self.lab.queue()
            wait_for(f"run {run} is under way", lambda: self.lab.state(run) == "running", 30, every=0.005)
            with self.lab.postgres.connect() as connection:
                connection.execute("DELETE FROM ops.runs WHERE id = %s", [run])
            self.lab.seen_runs.discard(run)
        self.well("a run that is gone from the history")

    def lost_answer(self):
        """PostgreSQL's answer to a claim does not arrive: the run that was claimed is run all the same."""
        lab = self.lab
        lab.coordinator().leave()
        with DeafProxy(lab.postgres.port) as proxy:
            rival = lab.coordinator("deaf")
            rival.env = {**rival.env, "DATABASE_URL": lab.postgres.url.replace(f":{lab.postgres.port}/", f":{proxy.port}/")}
            lab.begin("deaf")
            self.more()
            proxy.lose_commit_after(JOB.encode(), b"running")
            run = lab.queue()
            wait_for("an answer was lost", lambda: proxy.lost, 30)
            lab.wait_over(run, seconds=60)
            rival.leave()
        del lab.instances["deaf"]
        lab.begin()
        self.well("a lost answer")


SCENES = ["broken_models", "dropped_column", "failing_test", "tests_of_everything", "refused_table", "no_checks", "edited_then_a_day",
          "lost_table", "lost_history", "lost_answer", "new_column"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(SCENES), help="scenes, with commas: " + ", ".join(SCENES))
    args = parser.parse_args()
    with BatchLab("batch-mishaps") as lab:
        lab.start_bronze()
        lab.begin()
        scenes = Mishaps(lab)
        for days_ago in (3, 2, 0):
            scenes.more(days_ago)
        scenes.good_run()
        scenes.well("first run")
        for name in args.only.split(","):
            getattr(scenes, name.replace("-", "_"))()
        print(f"mishaps: {len(args.only.split(','))} passed, silver missing=0 extra=0 · gold mismatched=0 · postgres mismatched=0 after each")


if __name__ == "__main__":
    conclude(main)
