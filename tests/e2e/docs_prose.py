"""Commands and queries that stand in sentences and tables, in blocks of text, and in blocks that are not run: that they exist.

Assumes a lab (docs.py) whose platform runs. Promises that `tributary …` names commands and flags that its own help knows, that `make …`
names a target, and that a whole `SELECT` is answered by PostgreSQL or by `tributary query`. Nothing else of such a command is tried:
what it stands for may be a wish (`tributary runs retry RUN`), or not to be undone.
"""

import functools
import re
import shlex
import subprocess

from docs_pages import ROOT, SPAN

STOPS = {"|", ">", ">>", "&&", "||", ";", "&", "#", "2>&1"}


def spoken(page):
    """(line, text) of everything in a page that looks like a command or a query and is not in a block that is run."""
    for found in SPAN.finditer(page.prose):
        text = " ".join(found.group(0).strip("`").split())
        if re.match(r"(tributary|make) \w|SELECT .+ FROM ", text):
            yield page.prose.count("\n", 0, found.start()) + 1, text
    for block in page.blocks:
        if block.language == "text" or (block.language in ("sh", "bash") and "not run" in block.words):
            line = block.line
            for command in re.findall(r"(?:[^\n]*\\\n)*[^\n]*\n", block.text):
                text = re.sub(r"^\s*(?:\$ )?(?:docker compose exec (?:-\S+ )*tributary )?(?:[A-Z_]+=\S*\s+)*", "", command.replace("\\\n", " "))
                # In a block of text what follows two spaces is what a person sees or reads, not what is typed.
                text = re.split(r"\s{2,}|\s#", text.strip())[0] if block.language == "text" else text.strip()
                if re.match(r"(tributary|make) [\w-]", text):
                    yield line, text
                line += command.count("\n")


class Prose:
    """What is known of the program, asked once each."""

    def __init__(self, lab):
        self.lab = lab

    @functools.cached_property
    def targets(self):
        return set(re.findall(r"(?m)^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))

    @functools.lru_cache(maxsize=None)
    def help(self, path):
        """(commands, flags) below `tributary PATH`."""
        said = subprocess.run(["tributary", *path, "--help"], env=self.lab.environment, cwd=self.lab.root, capture_output=True, text=True, timeout=60)
        section = re.search(r"(?ms)^Commands:\n(.*?)\n\n", said.stdout)
        below = re.findall(r"(?m)^  ([a-z][a-z-]*)", section.group(1)) if section else []
        flags = re.findall(r"(?m)^\s+(-\w)\b", said.stdout) + re.findall(r"(?m)^\s+(?:-\w, )?(--[a-z][a-z-]*)", said.stdout)
        return frozenset(below), frozenset(flags)

    def wrong(self, text):
        """Why this cannot be typed; None when it can."""
        if text.startswith("SELECT"):
            return None if "…" in text else self._query(text)
        try:
            words = shlex.split(text, comments=True)
        except ValueError:
            words = text.split()
        stop = next((at for at, word in enumerate(words) if word in STOPS or word.startswith(">")), len(words))
        words = words[1:stop]
        if text.startswith("make"):
            return next((f"no target {word}" for word in words if re.fullmatch(r"[a-z][a-z0-9-]*", word) and word not in self.targets), None)
        path = ()
        for word in words:
            below, flags = self.help(path)
            if re.match(r"--?[a-z]", word, re.IGNORECASE):
                if word.split("=")[0] not in flags:
                    return f"`tributary {' '.join(path)}`".replace(" `", "`") + f" has no {word.split('=')[0]}"
            elif word in below:
                path += (word,)
            elif below and re.fullmatch(r"[a-z][a-z-]*", word):
                return f"`tributary {' '.join(path)}`".replace(" `", "`") + f" has no command {word}"
        return None

    def _query(self, text):
        said = ""
        for command in (["psql", "-X", "-v", "ON_ERROR_STOP=1", self.lab.url, "-c", text], ["tributary", "query", "--", text]):
            done = subprocess.run(command, env=self.lab.environment, cwd=self.lab.root, capture_output=True, text=True, timeout=60)
            if done.returncode == 0:
                return None
            said += done.stderr.strip() + "\n"
        return f"nobody answers it:\n{said.strip()}"
