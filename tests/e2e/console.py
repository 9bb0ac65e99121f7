#!/usr/bin/env python3
"""The console in a real browser and under attack.

    console.py                        the browser's tests, the API against its description, the attacks
    console.py --browser [--only TEXT] | --schema | --attacks [--only TEXT] [--requests 10000] [--seed 1]
    console.py --latency [50]         p50 and p95 of every page at 20,000 events/s; fails at that many milliseconds (0: never)
    console.py --shots [--full]       pictures of every page into target/console-shots
    console.py --stay                 starts everything, says where, and waits for Ctrl-C

Assumes what `scripts/setup.sh test` installs. Promises one line at the end of each part, and exit status 1 when any of them failed.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import time

import console_attacks
import console_doors
import console_latency
import console_sql
from console_http import Web
from console_lab import ConsoleLab
from console_storm import storm
from lab import ROOT
from procs import Failure, conclude, die_with_parent

BROWSER = ROOT / "tests" / "browser"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# What asks and shows may be asked often; the description's calls that do something are as often asked as the guard lets through.
EXAMPLES = 12


def browser(lab, *words):
    """Runs tests/browser; kills and starts the server when it asks for that. Returns its last line."""
    if not (BROWSER / "node_modules" / "playwright-core").exists():
        raise Failure("tests/browser has no node_modules; run: scripts/setup.sh test")
    command = ["node", BROWSER / "run.mjs", "--url", lab.url, "--database", lab.postgres.url, *words]
    # On the main thread: what is started here dies with it, the browser's tests as well as the server that they ask for.
    child = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent())
    last = ""
    try:
        for line in child.stdout:
            if line.startswith("@ask "):
                {"kill": lab.main.kill, "start": lab.start, "break": lab.break_job, "mend": lab.mend_job}[line.split()[1]]()
                child.stdin.write("done\n")
                child.stdin.flush()
            else:
                print(line, end="", flush=True)
                last = line.strip() or last
    finally:
        if child.poll() is None and sys.exc_info()[0] is not None:
            child.kill()
        status = child.wait(30)
    lab.steady("after the browser")
    if status:
        raise Failure(last)
    return last


def schema(lab):
    """The API against its own description, by schemathesis."""
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    begun = time.monotonic()
    done = subprocess.run(
        [str(program), "--no-color", "run", f"{lab.url}/api/v1/openapi.json", "--checks", CHECKS, "--max-examples", str(EXAMPLES), "--seed", "1",
         "--phases", "examples,coverage,fuzzing", "--rate-limit", "auto", "--workers", "2",
         "--request-timeout", "70", "--warnings", "off", "--generation-database", "none"],
        capture_output=True, text=True, timeout=600, cwd=lab.dir)
    lab.steady("after schemathesis")
    if done.returncode:
        raise Failure(f"schemathesis:\n{done.stdout[-6000:]}{done.stderr[-2000:]}")
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    if not counted or int(counted.group(2)) < 100:
        raise Failure(f"schemathesis tested next to nothing:\n{done.stdout[-3000:]}")
    return f"schema: {counted.group(2)} passed, 0 failed ({time.monotonic() - begun:.0f} s)"


def attacks(lab, only, requests, seed):
    """Every attack, one after another; all that failed at once."""
    failed, passed = [], 0
    groups = [*console_attacks.ATTACKS, *console_sql.ATTACKS, *console_doors.ATTACKS]
    # Who is looked at for memory has had its say before; the storm leaves jobs and runs in disorder.
    for attack in [*groups, lambda lab, web: storm(lab, requests, seed)]:
        name = "a storm of random requests breaks nothing" if attack not in groups else attack.__name__.replace("_", " ")
        if only not in name:
            continue
        begun, before, web = time.monotonic(), lab.actions(), Web(lab.port)
        try:
            said = attack(lab, web)
            lab.steady(name)
            if attack in groups and lab.actions() != before + getattr(attack, "leaves", 0):
                raise Failure(f"ops.actions has {lab.actions() - before} rows more than before")
            passed += 1
            print(f"ok      {name} ({time.monotonic() - begun:.1f} s){f': {said}' if said else ''}", flush=True)
        except Failure as failure:
            failed.append(name)
            print(f"FAILED  {name} ({time.monotonic() - begun:.1f} s)\n        {failure}", flush=True)
            if not lab.main.runs():
                lab.start()
        finally:
            web.close()
    line = f"attacks: {passed} passed, {len(failed)} failed"
    if failed or not passed:
        raise Failure(line)
    return line


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for part in ("browser", "attacks", "schema", "shots", "stay", "full"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--latency", type=float, nargs="?", const=50, metavar="MS")
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this in its name")
    parser.add_argument("--requests", type=int, default=10_000, help="of the storm")
    parser.add_argument("--seed", type=int, default=1, help="of the storm")
    args = parser.parse_args()
    everything = not any((args.browser, args.attacks, args.schema, args.shots, args.stay, args.latency is not None))
    more = ["--only", args.only] if args.only else []
    parts = [
        (args.shots, lambda lab: browser(lab, "--shots", *more, *(["--full"] if args.full else []))),
        (args.browser or everything, lambda lab: browser(lab, "--control", *more)),
        (args.latency is not None, lambda lab: "latency: " + console_latency.measure(lab, args.latency)),
        (args.schema or everything, schema),
        (args.attacks or everything, lambda lab: attacks(lab, args.only, args.requests, args.seed)),
    ]
    lines, failed = [], False
    with ConsoleLab() as lab:
        lab.say("starting")
        lab.fill()
        lab.say(f"{lab.url} with dead letters, gold and published tables; {lab.postgres.url}")
        if args.stay:
            try:
                lab.main.child.wait()
            except KeyboardInterrupt:
                return
        for wanted, part in parts:
            if not wanted:
                continue
            try:
                lines.append(part(lab))
            except Failure as failure:
                failed = True
                print(f"FAILED: {failure}", file=sys.stderr, flush=True)
                lines.append(str(failure).splitlines()[0])
    print("\n".join(lines))
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    conclude(main)
