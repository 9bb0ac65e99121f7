"""The rules of validity, written down a second time: from the stream's declaration and the documentation, not from the Rust code.

Assumes a declaration as in streams/*.toml. Promises for each record the status and reason that bronze must show, and the values of
its declared fields when it is valid.
"""

import json
import re
import tomllib
from datetime import datetime, timedelta, timezone

MAX_DEPTH = 127
MAX_TEXT_BYTES = 64 << 10
MAX_SYMBOL_BYTES = 512
DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
RFC_3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
UNITS = {"ms": 1_000, "s": 1_000_000, "sec": 1_000_000, "m": 60_000_000, "min": 60_000_000, "h": 3_600_000_000,
         "hour": 3_600_000_000, "d": DAY_US, "day": DAY_US, "days": DAY_US}
SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9}


class Object(list):
    """A JSON object as its pairs: a dict would hide a key that comes twice."""


class TooBig:
    """An integer of more digits than anybody wants to convert."""


class Fault(Exception):
    """Why a record is not valid."""


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(
    object_pairs_hook=Object, parse_constant=refuse, parse_int=lambda text: int(text) if len(text) < 30 else TooBig())


def measure(text, units):
    """`10 min` -> 600000000, `1 MiB` -> 1048576."""
    number, unit = re.fullmatch(r"([\d_.]+)\s*([A-Za-z]*)", text.strip()).groups()
    return int(float(number) * (units[unit] if unit else 1))


def timestamp_us(text):
    """Microseconds since 1970, or None when it is no RFC 3339 timestamp."""
    match = RFC_3339.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_h, offset_m = match.groups()[6:]
    offset = timedelta(hours=int(offset_h or 0), minutes=int(offset_m or 0))
    if int(offset_h or 0) > 23 or int(offset_m or 0) > 59:
        return None
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc)
        utc = local + (offset if sign == "-" else -offset)
    except (ValueError, OverflowError):
        return None
    if second > 60 or (second == 60 and (utc.hour, utc.minute) != (23, 59)):
        return None
    us = (utc - EPOCH) // timedelta(microseconds=1) + (1_000_000 if second == 60 else 0) + int(((fraction or "") + "000000")[:6])
    return us if -719_162 * DAY_US <= us < 2_932_897 * DAY_US else None


def too_deep(text):
    """Whether lists and objects lie inside each other beyond the limit."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth, inside, escaped = 0, False, False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif char in "]}":
            depth -= 1
    return False


class Stream:
    """A declaration, and the judgement that follows from it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            declared = tomllib.load(file)
        self.name, self.topic = declared["name"], declared["topic"]
        self.fields = declared["field"]
        self.windows = declared.get("window", [])
        limits = declared.get("limits", {})
        self.max_bytes = measure(limits.get("max_event_bytes", "1 MiB"), SIZES)
        self.max_ahead_us = measure(limits.get("max_ahead", "10 min"), UNITS)
        self.max_age_us = measure(limits.get("max_age", "400 days"), UNITS)
        self.columns = [field.get("column", field["name"]) for field in self.fields]
        self.column = dict(zip((field["name"] for field in self.fields), self.columns))
        names = [field["name"] for field in self.fields]
        self.id_at, self.time_at = names.index(declared["id"]), names.index(declared["event_time"])
        grouped = {name for window in self.windows for name in [*window.get("group_by", []), *window.get("where", {})]}
        for field in self.fields:
            symbol = field["name"] in grouped and "allowed" not in field
            field["limit"] = MAX_SYMBOL_BYTES if symbol else MAX_TEXT_BYTES

    def judge(self, payload, record_us):
        """(status, reason, values, event time that decides the partition or None)"""
        if payload is None:
            return "tombstone", "null_value", None, None
        if not payload:
            return "malformed", "empty_value", None, None
        if len(payload) > self.max_bytes:
            return "oversized", "too_large", None, None
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            return "malformed", "not_utf8", None, None
        if too_deep(text):
            return "malformed", "nesting_too_deep", None, None
        try:
            value, end = DECODER.raw_decode(text, len(text) - len(text.lstrip(" \t\n\r")))
            if text[end:].strip(" \t\n\r"):
                raise ValueError("something follows")
        except ValueError:
            return "malformed", "not_json", None, None
        if type(value) is not Object:
            return "malformed", "not_an_object", None, None
        return self.judge_object(value, record_us)

    def judge_object(self, pairs, record_us):
        found = dict(pairs)
        twice = set()
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = {key for key in found if keys.count(key) > 1}
        values, first = [], None
        for field in self.fields:
            name = field["name"]
            try:
                if name in twice:
                    raise Fault("duplicate_key")
                if name not in found:
                    if field.get("required"):
                        raise Fault("missing_field")
                    values.append(None)
                    continue
                values.append(self.judge_value(field, found[name]))
            except Fault as fault:
                first = first or str(fault)
                values.append(None)
        event_us = values[self.time_at]
        near = event_us is not None and -self.max_age_us <= event_us - record_us <= self.max_ahead_us
        if first:
            return "invalid", first, None, event_us if near else None
        if event_us is not None and event_us - record_us > self.max_ahead_us:
            return "future", "too_far_ahead", None, None
        if event_us is not None and event_us - record_us < -self.max_age_us:
            return "ancient", "too_old", None, None
        return "ok", None, values, event_us

    @staticmethod
    def judge_value(field, value):
        kind, is_a = field["type"], type(value)
        if value is None:
            if field.get("required"):
                raise Fault("null_field")
            return None
        if kind == "text" and is_a is str:
            if "\0" in value:
                raise Fault("nul_character")
            try:
                if len(value.encode("utf-8")) > field["limit"]:
                    raise Fault("too_long")
            except UnicodeEncodeError:
                raise Fault("lone_surrogate") from None
            if field.get("allowed") and value not in field["allowed"]:
                raise Fault("not_allowed")
            return value
        if kind == "timestamp" and is_a is str:
            us = timestamp_us(value)
            if us is None:
                raise Fault("bad_timestamp")
            return us
        if kind == "integer" and is_a in (int, TooBig):
            if is_a is TooBig or not -(1 << 63) <= value < 1 << 63:
                raise Fault("integer_out_of_range")
            if value < field.get("minimum", value):
                raise Fault("below_minimum")
            return value
        if kind == "number" and is_a in (int, float, TooBig):
            if is_a is TooBig or value in (float("inf"), float("-inf")):
                raise Fault("number_out_of_range")
            return float(value)
        if kind == "boolean" and is_a is bool:
            return value
        raise Fault("wrong_type")
