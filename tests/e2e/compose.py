"""docker-compose.yml as Compose reads it, without Docker: variables replaced, services with their environment, command, mounts and limits.

Assumes the parts of the Compose specification that the file here uses. Promises that a variable without a value and a default is an error,
and that what is moved (host names, ports, folders) is moved by one rule for all services and can be listed.
"""

import pathlib
import re

import yaml

from procs import Failure

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def expand(text, variables):
    """`${NAME:-default}` (the default may hold others), `${NAME}`, `$NAME`, `$$`."""
    out, at = [], 0
    while at < len(text):
        if text[at] != "$":
            out.append(text[at])
            at += 1
        elif text.startswith("$$", at):
            out.append("$")
            at += 2
        elif text.startswith("${", at):
            end = _closing(text, at + 2)
            out.append(_value(text[at + 2:end], variables))
            at = end + 1
        else:
            name = re.match(r"\$(\w+)", text[at:])
            if name is None:
                raise Failure(f"a lone $ in {text!r}")
            out.append(_value(name.group(1), variables))
            at += name.end()
    return "".join(out)


def _closing(text, at):
    depth = 1
    while depth:
        if at >= len(text):
            raise Failure(f"${{ is never closed in {text!r}")
        if text.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif text[at] == "}":
            depth -= 1
        at += 1
    return at - 1


def _value(inside, variables):
    name, rule, rest = re.fullmatch(r"(\w+)(:?[-?])?(.*)", inside, re.S).groups()
    value = variables.get(name)
    if value is not None and (value or not (rule or "").startswith(":")):
        return value
    if rule and rule.endswith("-"):
        return expand(rest, variables)
    raise Failure(f"variable {name} has no value and no default")


def _walk(tree, variables):
    if isinstance(tree, dict):
        return {key: _walk(value, variables) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_walk(value, variables) for value in tree]
    return expand(tree, variables) if isinstance(tree, str) else tree


def size(text):
    """Bytes of `448m`."""
    number, unit = re.fullmatch(r"(\d+)([bkmg])b?", str(text).lower()).groups()
    return int(number) * UNITS[unit]


class Service:
    """One service of the file."""

    def __init__(self, name, tree):
        self.name, self.tree = name, tree
        given = tree.get("environment", {})
        self.environment = {key: str(value) for key, value in (given.items() if isinstance(given, dict) else (line.split("=", 1) for line in given))}
        command = tree.get("command", [])
        self.command = command.split() if isinstance(command, str) else [str(part) for part in command]
        self.limit = size(tree["mem_limit"]) if "mem_limit" in tree else None
        self.ports = [int(str(port).rsplit(":", 1)[1].split("/")[0]) for port in tree.get("ports", [])]
        test = tree.get("healthcheck", {}).get("test", [])
        self.health = test[1:] if test and test[0] == "CMD" else ["sh", "-c", test[1]] if test else []

    def folders(self, home):
        """Folder in the container -> folder here: bind mounts are the repository's, volumes and tmpfs live below `home`."""
        found = {}
        for mount in self.tree.get("volumes", []):
            source, target = mount.split(":")[:2]
            found[target] = (ROOT / source).resolve() if source.startswith(".") else home / "volumes" / source
        for mount in self.tree.get("tmpfs", []):
            found[mount.split(":")[0]] = home / "tmpfs" / self.name / mount.split(":")[0].strip("/").replace("/", "-")
        return found


class Compose:
    """The file, with `variables` in the place of a `.env`."""

    def __init__(self, variables=(), path=ROOT / "docker-compose.yml"):
        # Before variables are replaced: anchors and merge keys are YAML's own.
        self.tree = _walk(yaml.safe_load(path.read_text(encoding="utf-8")), dict(variables))
        self.services = {name: Service(name, tree) for name, tree in self.tree["services"].items()}

    def default(self):
        """Services that start without a profile."""
        return [s for s in self.services.values() if not s.tree.get("profiles")]


class Moved:
    """Where things are here: `addresses` maps (service, port in the container) to a port on loopback, `folders` a path there to one here."""

    def __init__(self, service, addresses, folders):
        self.service, self.addresses = service, addresses
        # The longest first: /data/lakehouse before /data.
        self.folders = sorted(((there, str(here)) for there, here in folders.items()), key=lambda pair: -len(pair[0]))
        self.changes = {}

    def text(self, text):
        """One value with every address and path in it moved."""
        changed = text
        for (service, port), here in self.addresses.items():
            # Another service by its name; oneself also as the own host, or as every interface.
            own = "|localhost|127[.]0[.]0[.]1|0[.]0[.]0[.]0|(?<=://)" if service == self.service else ""
            changed = re.sub(rf"(?<![\w.])(?:{service}{own})([:/]){port}(?!\d)", rf"127.0.0.1\1@{here}", changed)
        # Marked with @ until all are replaced, so that no moved port is taken for another's old one.
        changed = re.sub(r"(?<=127\.0\.0\.1[:/])@", "", changed)
        # All folders at once: what a folder is moved to may begin like another one.
        here = dict(self.folders)
        if here:
            choice = "|".join(re.escape(there) for there, _here in self.folders)
            changed = re.sub(rf"(?<![\w./-])({choice})(?=[/:,]|$)", lambda found: here[found.group(1)], changed)
        if changed != text:
            self.changes[text] = changed
        return changed

    def environment(self, environment):
        """A whole environment; a host name and its port may be in two variables."""
        moved = {}
        for key, value in environment.items():
            port = environment.get(f"{key[:-5]}_PORT") if key.endswith("_HOST") else None
            host = environment.get(f"{key[:-5]}_HOST") if key.endswith("_PORT") else None
            if port and (value, int(port)) in self.addresses:
                moved[key] = "127.0.0.1"
            elif host and (host, int(value)) in self.addresses:
                moved[key] = str(self.addresses[(host, int(value))])
            else:
                moved[key] = self.text(value)
                continue
            self.changes[f"{key}={value}"] = f"{key}={moved[key]}"
        return moved
