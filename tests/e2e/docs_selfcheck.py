"""The judge of the documents judged: what is right passes, and the same with one thing broken in memory is called wrong, for that reason.

Assumes a lab (docs.py) whose platform runs, and pages that pass in the places that are broken. Promises that each kind of failure is seen
once in a page made for it (CASES), and in the real pages one command, one query of each kind, one block of TOML, and every single link
and anchor.
"""

import contextlib
import io
import re

import docs
from docs_blocks import Runner
from docs_pages import Page, anchors, broken, links, mentions, parse
from docs_prose import Prose
from procs import Failure

F = "```"
# (what is broken, right, wrong, what must be said of the wrong one)
CASES = (
    ("a command", f"{F}sh\ntributary runs list\n{F}\n", f"{F}sh\ntributary jobs list\ntributary runs lst\n{F}\n", r"x\.md:3: exit 2"),
    ("a flag", f"{F}sh\ntributary status\n{F}\n", f"{F}sh\ntributary status --jsno\n{F}\n", "exit 2"),
    ("the first of two by &&", f"{F}sh\ntrue && true # both\n{F}\n", f"{F}sh\nfalse && true # both\necho went on\n{F}\n", r"x\.md:2: exit 1"),
    ("a command in a loop", f"{F}sh\nfor n in 1 2; do\n  true && true\ndone\ncat <<EOF | grep -x 'a && b'\na && b\nEOF\n{F}\n",
     f"{F}sh\nfor n in 1 2; do\n  ls /nowhere-$n\n  true\ndone\n{F}\n", r"x\.md:3: exit 2"),
    ("the first of a pipe", f"{F}sh\ntrue | cat\n{F}\n", f"{F}sh\nfalse | cat\n{F}\n", "exit 1"),
    ("a variable", f"{F}sh\nX=1; echo $X\n{F}\n", f"{F}sh\necho $NOT_SET_ANYWHERE\n{F}\n", "unbound"),
    ("a command in a container", f"{F}sh\ndocker compose exec tributary tributary jobs list\n{F}\n",
     f"{F}sh\ndocker compose exec tributary tributary job list\n{F}\n", "exit 2"),
    ("a flag of another up", f"{F}sh\nKAFKA_BOOTSTRAP_SERVERS=k:9092 tributary up --rate 5\n{F}\n",
     f"{F}sh\nKAFKA_BOOTSTRAP_SERVERS=k:9092 tributary up --rat 5\n{F}\n", "exit 2"),
    ("a setting of another up", f"{F}sh\nKAFKA_BOOTSTRAP_SERVERS=k:9092 NUM_USERS=5 tributary up\n{F}\n",
     f"{F}sh\nKAFKA_BOOTSTRAP_SERVERS=k:9092 NUM_USERS=many tributary up\n{F}\n", "exit 2"),
    ("a target", f"{F}sh\nmake bench\n{F}\n", f"{F}sh\nmake bnech\n{F}\n", "exit 2"),
    ("an address", f"{F}sh\ncurl -sf http://localhost:8082/healthz\n{F}\n", f"{F}sh\ncurl -sf http://localhost:8082/healtz\n{F}\n", "exit 22"),
    ("a query by psql", f"{F}sql\nSELECT * FROM gold.daily_active_users;\n{F}\n", f"{F}sql\nSELECT 1; SELECT * FROM gold.daily_users;\n{F}\n",
     "does not exist"),
    ("a query of the lake", f"<!-- tributary query -->\n{F}sql\n-- days\nSELECT * FROM gold.kpi_dau\n{F}\n",
     f"<!-- tributary query -->\n{F}sql\n-- days\nSELECT * FROM gold.kpi_duo\n{F}\n", "exit"),
    ("a query for the wrong store", f"<!-- tributary query -->\n{F}sql\nSELECT 1 FROM silver.user_events LIMIT 1\n{F}\n",
     f"{F}sql\nSELECT 1 FROM silver.user_events LIMIT 1\n{F}\n", "does not exist"),
    ("Python", f"{F}python\nimport deltalake\n{F}\n", f"{F}python\nimport deltalaek\n{F}\n", "ModuleNotFoundError"),
    ("TOML", f"{F}toml\na = 1\n{F}\n", f"{F}toml\na = \n{F}\n", "is no toml"),
    ("JSON", f"{F}json\n[1]\n{F}\n", f"{F}json\n[1,]\n{F}\n", "is no json"),
    ("YAML", f"{F}yaml\na: 1\n{F}\n", f"{F}yaml\na: [\n{F}\n", "is no yaml"),
    ("a language", f"{F}text\n{F}\n", f"{F}txt\n{F}\n", "nobody knows"),
    ("an expected status", f"<!-- expect: exit 3 -->\n{F}sh\nexit 3\n{F}\n", f"<!-- expect: exit 3 -->\n{F}sh\nexit 0\n{F}\n", "exit 0 instead of 3"),
    ("a limit", f"<!-- limit: 9 s -->\n{F}sh\nsleep 0.1\n{F}\n", f"<!-- limit: 1 s -->\n{F}sh\ntrue\nsleep 60\n{F}\n", r"x\.md:4: not within 1 s"),
    ("something in the background", f"<!-- background -->\n{F}sh\nexec sleep 60\n{F}\n",
     f"<!-- background -->\n{F}sh\nexit 4\n{F}\n{F}sh\nsleep 0.5\n{F}\n", "exit 4, in the background"),
    ("a reason", f"<!-- not run: it is dear -->\n{F}sh\nfalse\n{F}\n", f"<!-- not run -->\n{F}sh\nfalse\n{F}\n", "without a reason"),
    ("a comment's word", f"<!-- not run: x -->\n\n{F}sh\nfalse\n{F}\n", f"<!-- not-run: x -->\n{F}sh\ntrue\n{F}\n", "nobody understands"),
    ("a comment's place", "<!-- a note -->\nText\n", f"<!-- expect: exit 1 -->\nText\n{F}sh\ntrue\n{F}\n", "no block directly below"),
    ("a fence", f"{F}text\n{F}\n", f"{F}text\n", "never ends"),
    ("a command in a sentence", "Try `tributary runs list --state failed`.\n", "Try `tributary runs lits`.\n", "no command lits"),
    ("a flag in a table", "| `tributary audit --drained` |\n", "| `tributary audit --drain` |\n", "has no --drain"),
    ("a target in a sentence", "`make bench ARGS=x`\n", "`make bnech`\n", "no target bnech"),
    ("a query in a sentence", "`SELECT * FROM ops.lost_ranges`\n", "`SELECT * FROM ops.lost_range`\n", "nobody answers it"),
    ("a command that is only shown", f"{F}text\ntributary why gold.daily_active_users   to Kafka\n{F}\n",
     f"{F}text\ntributary whi gold.daily_active_users   to Kafka\n{F}\n", "no command whi"),
    ("a file", "[x](docs/RUN.md)\n", "[x](docs/RAN.md)\n", "no such file"),
    ("an anchor", "# A, `b`: **c**!\n[x](#a-b-c)\n", "# A, `b`: **d**!\n[x](#a-b-c)\n", "no such heading"),
    ("the second of two headings", "# A\n# A\n[x](#a-1)\n", "# A\n[x](#a-1)\n", "no such heading"),
    ("an address on the web", "<https://example.org/a>\n", "<https:/example.org/a>\n", "no address"),
    ("a dashboard", "http://localhost:3000/d/tributary-health\n", "http://localhost:3000/d/tributary-helth\n", "no such dashboard"),
    ("what only this machine has", "[x](README.md)\n", "[x](target/up/tributary)\n", "not part of the checkout"),
)


def judged(lab, page):
    """What is said of a page: the failures, without printing them."""
    report = docs.Report()
    with contextlib.redirect_stdout(io.StringIO()):
        report.page(page, Runner(lab))
        report.listen(page, Prose(lab))
    return report.failures + [f"{page.path}:{line}: {target}: {why}" for line, target in links(page) if (why := broken(page, target))]


def made_up(lab):
    for what, right, wrong, said in CASES:
        if found := judged(lab, parse("x.md", right)):
            raise Failure(f"{what}: nothing is wrong here, and yet: {found}\n{right}")
        found = judged(lab, parse("x.md", wrong))
        if len(found) != 1 or not re.search(said, found[0]):
            raise Failure(f"{what}: {said!r} was to be said, once, and this was: {found}\n{wrong}")
    return len(CASES)


# (what, its language, where it is broken, what takes its place)
KINDS = (("a command", "sh", r"(?m)^tributary \w+", "tributary nothing"),
         ("a query in a shell", "sh", r"\bFROM (gold|realtime)\.\w+", "FROM gold.nothing"),
         ("a query", "sql", r"\bFROM (gold|realtime|silver)\.\w+", "FROM gold.nothing"),
         ("TOML", "toml", r"\n\w+ = ", "\nnot a key = "))


def real(lab, pages):
    """One block of each kind, as it stands and broken. Blocks that start the platform anew are left alone: they take their time."""
    for what, language, place, instead in KINDS:
        blocks = (b for page in pages for b in page.blocks if b.language == language and "not run" not in b.words and re.search(place, b.text))
        for block in blocks:
            fence = "".join(f"<!-- {word}{': ' + rest if rest else ''} -->\n" for word, rest in block.words.items()) + f"{F}{language}\n"
            if re.search(r"\bup\b", block.text) or judged(lab, parse(block.page, f"{fence}{block.text}{F}\n")):
                continue
            if not judged(lab, parse(block.page, f"{fence}{re.sub(place, instead, block.text, count=1)}{F}\n")):
                raise Failure(f"{block.place}: {what} is broken, and nobody says so")
            break
        else:
            raise Failure(f"no page has {what} that passes as it stands")
    return len(KINDS)


def every_link(pages):
    """Each link of each page with its end changed; each heading that a page points to in itself, renamed; each anchor that a file names."""
    count = 0
    for page in pages:
        for line, target in links(page):
            if not re.match("https?:", target):
                count += 1
                if not broken(page, f"{target}-no"):
                    raise Failure(f"{page.path}:{line}: {target}-no leads somewhere")
                if target.startswith("#") and not broken(Page(page.path, "", [], "\n".join(anchors(page) - {target[1:]}), []), target):
                    raise Failure(f"{page.path}:{line}: {target} is found without its heading")
    for name, line, target in mentions():
        count += 1
        if not broken(Page("x", "", [], "", []), f"{target}-no"):
            raise Failure(f"{name}:{line}: {target}-no leads somewhere")
    return count


def run(lab, pages):
    print(f"docs selfcheck: {made_up(lab)} pages with one thing wrong, {real(lab, pages)} blocks and {every_link(pages)} links of the real pages, "
          "each broken: every one was found")
