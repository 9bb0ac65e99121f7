"""The gold tables that come with the product, written down a second time: plain SQL for DuckDB over a table `silver`.

Assumes of `silver` one row per valid event, with `event_date` as its UTC day. Promises nothing of how the product makes them: the two
have only the names and meanings of the tables in common.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """What a gold table must hold. `columns` has the names and how they compare; `published` is its table in PostgreSQL;
    a hidden one serves others and is nothing that a person asked for."""

    sql: str
    columns: dict
    key: tuple
    published: str | None = None
    hidden: bool = False

    @property
    def by_day(self):
        return "event_date" in self.columns


TEXT, WHOLE, DAY, MOMENT, RATE = "text", "whole", "day", "moment", "rate"

TABLES = {
    "fact_events": Table(
        "SELECT event_id, user_id, event_type, page, event_timestamp, source, event_date FROM silver",
        {"event_id": TEXT, "user_id": WHOLE, "event_type": TEXT, "page": TEXT, "event_timestamp": MOMENT, "source": TEXT,
         "event_date": DAY},
        ("event_id", "event_timestamp")),
    "dim_users": Table(
        "SELECT user_id, count(*) AS total_events, count(DISTINCT source) AS source_count, min(event_timestamp) AS first_seen, "
        "max(event_timestamp) AS last_seen FROM silver GROUP BY user_id",
        {"user_id": WHOLE, "total_events": WHOLE, "source_count": WHOLE, "first_seen": MOMENT, "last_seen": MOMENT},
        ("user_id",)),
    "dim_pages": Table(
        "SELECT coalesce(page, '(none)') AS page, count(*) AS total_events FROM silver GROUP BY ALL",
        {"page": TEXT, "total_events": WHOLE},
        ("page",)),
    "user_days": Table(
        "SELECT event_date, user_id, source, count(*) AS total_events, count(*) FILTER (event_type = 'purchase') AS total_purchases, "
        "min(event_timestamp) AS first_seen, max(event_timestamp) AS last_seen FROM silver GROUP BY ALL",
        {"event_date": DAY, "user_id": WHOLE, "source": TEXT, "total_events": WHOLE, "total_purchases": WHOLE, "first_seen": MOMENT,
         "last_seen": MOMENT},
        ("event_date", "user_id", "source"), hidden=True),
    "page_days": Table(
        "SELECT event_date, coalesce(page, '(none)') AS page, count(*) AS total_events FROM silver GROUP BY ALL",
        {"event_date": DAY, "page": TEXT, "total_events": WHOLE},
        ("event_date", "page"), hidden=True),
    "kpi_dau": Table(
        "SELECT event_date, count(DISTINCT user_id) AS dau_count FROM silver GROUP BY event_date",
        {"event_date": DAY, "dau_count": WHOLE},
        ("event_date",), "daily_active_users"),
    "kpi_events_per_source": Table(
        "SELECT event_date, source, count(*) AS event_count FROM silver GROUP BY event_date, source",
        {"event_date": DAY, "source": TEXT, "event_count": WHOLE},
        ("event_date", "source"), "events_per_source_daily"),
    "kpi_purchases_per_page": Table(
        "SELECT event_date, coalesce(page, '(none)') AS page, count(*) AS purchase_count FROM silver "
        "WHERE event_type = 'purchase' GROUP BY ALL",
        {"event_date": DAY, "page": TEXT, "purchase_count": WHOLE},
        ("event_date", "page"), "purchases_per_page_daily"),
    "kpi_conversion_rate": Table(
        # Whole numbers, so that half a millionth is rounded up and not by how a float happens to end.
        "SELECT *, (2000000 * total_purchases + total_events) // (2 * total_events) / 1000000.0 AS conversion_rate FROM ("
        "SELECT event_date, count(*) AS total_events, count(*) FILTER (event_type = 'purchase') AS total_purchases, "
        "count(DISTINCT user_id) AS dau_count FROM silver GROUP BY event_date)",
        {"event_date": DAY, "total_events": WHOLE, "total_purchases": WHOLE, "dau_count": WHOLE, "conversion_rate": RATE},
        ("event_date",), "conversion_rate_daily"),
}
