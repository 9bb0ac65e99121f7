"""Markdown as its readers meet it: the fenced blocks with the word that stands above each, headings with GitHub's anchors, and every link.

Assumes pages of this repository: fences of three or more backticks or tildes, headings with `#`, HTML only in comments and anchors. Runs
nothing. Promises a line number for everything that it finds, a problem for every link and anchor that leads nowhere, and for every comment
above a block (docs_blocks.py says what they mean) that nobody understands or that has lost its block.
"""

import difflib
import functools
import json
import pathlib
import re
import tomllib
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a checkout has of a person's own, or gets by being built: a link there would lead somewhere on this machine only.
NOT_OURS = {"target", "data", "secrets", ".git", ".venv", ".tools", ".env", "node_modules", "__pycache__"}
COMMENT = re.compile(r"<!--.*?-->")
WORDS = re.compile(r"<!--\s*(?P<word>not run|expect|limit|background|tributary query)\b\s*:?\s*(?P<rest>.*?)\s*-->")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\1(?!`)", re.DOTALL)
NOT_EXECUTED = {"", "text", "mermaid"}
PARSERS = {"toml": tomllib.loads, "json": json.loads, "yaml": lambda text: list(yaml.safe_load_all(text))}
EXECUTED = {"sh", "bash", "sql", "python"}


@dataclass
class Block:
    """A fenced block. `line` is the first of its text; `words` is what the comments directly above it say."""

    page: str
    line: int
    language: str
    text: str
    words: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    @property
    def place(self):
        return f"{self.page}:{self.line}"


@dataclass
class Page:
    """`path` is relative to the checkout; `prose` is the text without blocks, line for line; `problems` are of the page itself."""

    path: str
    text: str
    blocks: list
    prose: str
    problems: list


def parse(path, text):
    """A page out of its text."""
    page, lines, prose = Page(str(path), text, [], "", []), text.split("\n"), []
    # Comments above the next block; (indent, fence, language) of the one that is open; its first line.
    above, fence, start = [], None, 0
    for number, line in enumerate(lines, 1):
        opening = re.match(r"(\s*)(`{3,}|~{3,})\s*([^\s`]*)[^`]*$", line)
        if fence:
            prose.append("")
            indent, mark, language = fence
            if re.fullmatch(rf"\s*{re.escape(mark[0])}{{{len(mark)},}}\s*", line):
                body = [one[len(indent):] if one.startswith(indent) else one.lstrip() for one in lines[start - 1:number - 1]]
                page.blocks.append(_block(page, start, language, "\n".join(body) + "\n", above))
                fence, above = None, []
        elif opening:
            fence, start = opening.groups(), number + 1
            prose.append("")
        else:
            if not line.strip().startswith("<!--") and line.strip():
                page.problems += [(n, f"no block directly below: {text}") for n, text in above if WORDS.fullmatch(text)]
                above = []
            elif line.strip():
                above += [(number, found) for found in COMMENT.findall(line)]
            prose.append(line)
    page.problems += [(n, f"no block below: {text}") for n, text in above if WORDS.fullmatch(text)]
    if fence:
        page.problems.append((start - 1, "a block that never ends"))
    page.prose = "\n".join(prose)
    return page


def _block(page, line, language, text, above):
    block = Block(page.path, line, language.lower(), text)
    for _, comment in above:
        if found := WORDS.fullmatch(comment):
            block.words[found["word"]] = found["rest"]
        else:
            block.problems.append(f"nobody understands {comment}")
    words = block.words
    if "not run" in words and not words["not run"]:
        block.problems.append("`not run` without a reason")
    if "expect" in words and not re.fullmatch(r"exit \d+", words["expect"]):
        block.problems.append(f"expect: {words['expect']!r} is not `exit N`")
    if "limit" in words and not re.fullmatch(r"\d+ s", words["limit"]):
        block.problems.append(f"limit: {words['limit']!r} is not `N s`")
    if "tributary query" in words and block.language != "sql":
        block.problems.append(f"`tributary query` above a block of {block.language or 'nothing'}")
    if block.language not in NOT_EXECUTED | EXECUTED | set(PARSERS):
        block.problems.append(f"nobody knows how to check a block of {block.language!r}; text is never executed")
    if block.language in PARSERS:
        try:
            PARSERS[block.language](text)
        except (ValueError, yaml.YAMLError) as error:
            block.problems.append(f"is no {block.language}: {' '.join(str(error).split())}")
    return block


def read(name):
    """A page of the checkout."""
    return parse(name, (ROOT / name).read_text(encoding="utf-8"))


def executed():
    """The pages whose blocks are executed, in their order."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("README.md"))]
    return [str(path.relative_to(ROOT)) for path in found]


def without_code(prose):
    """The prose with the spans of code blanked, length for length: what is in them is no link."""
    return SPAN.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), prose)


def slug(heading):
    """The anchor that GitHub gives a heading, before it numbers those that are alike."""
    heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    heading = re.sub(r"(\*\*|__)(\S.*?)\1", r"\2", heading)
    heading = re.sub(r"(?<!\w)([*_])(\S.*?)\1(?!\w)", r"\2", heading)
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page):
    """Every anchor of a page: its headings, and those that are written as HTML."""
    found, seen = set(), {}
    for line in page.prose.split("\n"):
        if heading := re.match(r"#{1,6}\s+(.*?)\s*#*\s*$", line):
            name = slug(heading.group(1))
            count = seen[name] = seen.get(name, -1) + 1
            found.add(f"{name}-{count}" if count else name)
        found.update(re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", line))
    return found


def links(page):
    """(line, target) of every link of a page, whatever its form."""
    text = re.sub(r"<!--.*?-->", lambda m: re.sub(r"[^\n]", " ", m.group(0)), without_code(page.prose), flags=re.DOTALL)
    forms = (r"\]\(\s*<([^>\n]*)>[^)]*\)", r"\]\(\s*([^)<\s]+)(?:\s+\"[^\"]*\")?\s*\)", r"(?m)^\s*\[[^\]]+\]:\s+(\S+)", r"<(https?:[^>]*)>",
             r"(?:src|href)=\"([^\"]*)\"", r"(?<![\w(<\"/])(https?://[^\s)>\"|]+)")
    for form in forms:
        for found in re.finditer(form, text):
            yield text.count("\n", 0, found.start(1)) + 1, found.group(1).rstrip(".,;:" if found.group(1).startswith("http") else "")
    for found in re.finditer(r"\]\[([^\]]+)\]", text):
        if not re.search(rf"(?mi)^\s*\[{re.escape(found.group(1))}\]:", text):
            yield text.count("\n", 0, found.start(1)) + 1, f"[{found.group(1)}]"


@functools.lru_cache(maxsize=None)
def _anchors_of(path):
    return anchors(read(path))


@functools.lru_cache(maxsize=None)
def dashboards():
    """The names by which Grafana's addresses know the dashboards."""
    return {json.loads(path.read_text(encoding="utf-8"))["uid"] for path in (ROOT / "grafana" / "dashboards").glob("*.json")}


def broken(page, target):
    """Why a link of a page leads nowhere; None when it does. `page` may be one that is not on the disk as it is."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return _broken_url(target)
    path, _, anchor = target.partition("#")
    path, anchor = unquote(path), unquote(anchor)
    if path.startswith("/") or path.startswith("["):
        return "is from no folder of this checkout" if path.startswith("/") else "no such reference"
    there = (ROOT / page.path).parent.joinpath(path).resolve() if path else ROOT / page.path
    if not there.is_relative_to(ROOT):
        return "leaves the checkout"
    name = there.relative_to(ROOT)
    if name.parts and (set(name.parts) & NOT_OURS):
        return "is not part of the checkout"
    if path and not there.exists():
        return "no such file"
    if not anchor:
        return None
    if str(name) == page.path:
        known = anchors(page)
    elif there.suffix == ".md":
        known = _anchors_of(str(name))
    else:
        lines = re.fullmatch(r"L(\d+)(?:-L(\d+))?", anchor)
        fits = lines and there.is_file() and int(lines.group(2) or lines.group(1)) <= len(there.read_bytes().splitlines())
        return None if fits else "no such line"
    return None if anchor in known else f"no such heading; is it {_nearest(anchor, known)}?"


def _nearest(anchor, known):
    near = difflib.get_close_matches(anchor, sorted(known), 1, 0.3)
    return f"#{near[0]}" if near else "gone"


def _broken_url(target):
    if target.startswith("mailto:"):
        return None if re.fullmatch(r"mailto:\S+@\S+\.\S+", target) else "is no address"
    try:
        parts = urlsplit(target)
        parts.port  # noqa: B018: refuses what is no number
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.-]+", parts.hostname or "") or re.search(r"[\s<>`\"]", target):
        return "is no address"
    if parts.netloc == "localhost:3000" and (dashboard := re.match(r"/d/([^/?#]+)", parts.path)) and dashboard.group(1) not in dashboards():
        return "no such dashboard"
    return None


# Beside the pages: what names a page or a section of one. Sources are asked too, for their messages send people there.
MENTION = re.compile(r"(?<![\w/.-])((?:docs/[\w/-]+|README|CONTRIBUTING|CHANGELOG)\.md(?:#[\w%-]+)?)")
MENTIONING = ("grafana/**/*.json", "prometheus/**/*.yml", "docker-compose*.yml", ".env.example", "Makefile", "Dockerfile", "scripts/**/*",
              "src/**/*.rs", "core/src/**/*.rs", "batch/src/**/*.rs", "actors/src/**/*.rs", "broker/src/**/*.rs", "streams/*.toml", "jobs/*.toml")


def mentions():
    """(file, line, target) of every page that something else than a page names."""
    for pattern in MENTIONING:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
                    for found in MENTION.finditer(line):
                        yield str(path.relative_to(ROOT)), number, found.group(1)


def check_links(pages):
    """(how many, problems) of all links: of the pages, and of everything that names one."""
    count, problems = 0, []
    for page in pages:
        for line, target in sorted(set(links(page))):
            count += 1
            if why := broken(page, target):
                problems.append(f"{page.path}:{line}: {target}: {why}")
    for name, line, target in mentions():
        count += 1
        # Names of pages are from the checkout's root, wherever they stand.
        if why := broken(Page("x", "", [], "", []), target):
            problems.append(f"{name}:{line}: {target}: {why}")
    return count, problems
