"""The tables of a lake, and what is asked of each by every reader: rows, and a sum over every column that has one.

The same questions in SQL, so that answers of different programs can be compared as they are. Nothing here knows what is in a table.
"""

import pathlib

LAYERS = ("bronze", "silver", "gold")
WHOLE = ("byte", "short", "integer", "long")


def tables(lake):
    """Name and folder of each Delta table."""
    for layer in LAYERS:
        for folder in sorted((pathlib.Path(lake) / layer).glob("*/")):
            if (folder / "_delta_log").is_dir():
                yield f"{layer}.{folder.name}", folder


def questions(fields):
    """Name and SQL of each question; `fields` are names and Delta types."""
    yield "rows", "count(*)"
    for name, kind in fields:
        if kind in WHOLE:
            # A remainder: a sum of any 64-bit integers fits no reader's own integer.
            yield name, f'sum(CAST("{name}" % 1000003 AS DECIMAL(38, 0)))'
        elif kind == "string":
            yield name, f'sum(length("{name}"))'
        else:
            yield name, f'count("{name}")'


def select(fields, source):
    """One statement with all questions."""
    asked = ", ".join(f'CAST({sql} AS VARCHAR) AS "{name}"' for name, sql in questions(fields))
    return f"SELECT {asked} FROM {source}"


def plain(row):
    """Answers as text; a sum of nothing is nothing."""
    return {name: None if value is None else str(value).removesuffix(".0") for name, value in row.items()}
