-- description: Which part of a day's events are purchases
-- materialize: by_day
-- key: event_date
-- publish: gold.conversion_rate_daily
-- column event_date: the UTC day
-- column total_events: valid events on this day
-- column total_purchases: purchases among them
-- column dau_count: users with at least one valid event on this day
-- column conversion_rate: total_purchases / total_events, from 0 to 1, rounded to six places
-- test: not_null(event_date, total_events, total_purchases, dau_count, conversion_rate)
-- test: unique(event_date)
-- test: SELECT * FROM gold.kpi_conversion_rate WHERE conversion_rate < 0 OR conversion_rate > 1
WITH days AS (
    SELECT
        event_date,
        SUM(total_events) AS total_events,
        SUM(total_purchases) AS total_purchases,
        COUNT(DISTINCT user_id) AS dau_count
    FROM gold.user_days
    GROUP BY event_date
)
SELECT
    event_date,
    total_events,
    total_purchases,
    dau_count,
    CAST(CAST(total_purchases AS DECIMAL(24, 12)) / CAST(total_events AS DECIMAL(12, 0)) AS DECIMAL(9, 6)) AS conversion_rate
FROM days
