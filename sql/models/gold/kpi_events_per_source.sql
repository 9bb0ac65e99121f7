-- description: Events per source and day
-- materialize: by_day
-- key: event_date, source
-- publish: gold.events_per_source_daily
-- column event_date: the UTC day
-- column source: web or mobile
-- column event_count: valid events from this source on this day
-- test: not_null(event_date, source, event_count)
-- test: unique(event_date, source)
-- test: accepted_values(source, web, mobile)
-- test: row_count(min=1)
SELECT
    event_date,
    source,
    SUM(total_events) AS event_count
FROM gold.user_days
GROUP BY event_date, source
