-- description: Every valid event once
-- materialize: by_day
-- key: event_id, event_timestamp
-- column event_id: the event's id; the same id with another event time is another event
-- column user_id: who
-- column event_type: login, click, purchase or logout
-- column page: where, if the event says
-- column event_timestamp: when, in UTC
-- column source: web or mobile
-- column event_date: the UTC day of event_timestamp
-- test: not_null(event_id, user_id, event_type, event_timestamp, source, event_date)
-- test: row_count(min=1)
SELECT
    event_id,
    user_id,
    event_type,
    page,
    event_timestamp,
    source,
    event_date
FROM silver.user_events
