-- description: What each user did on each day from each source; dim_users and the daily figures of users are made of it
-- materialize: by_day
-- key: event_date, user_id, source
-- hidden: true
-- column event_date: the UTC day
-- column user_id: the user
-- column source: web or mobile; one row for each, so that sources can be counted over any number of days
-- column total_events: events of the user from this source on this day
-- column total_purchases: purchases among them
-- column first_seen: event time of the first of them
-- column last_seen: event time of the last of them
-- test: not_null(event_date, user_id, source, total_events, total_purchases, first_seen, last_seen)
-- test: unique(event_date, user_id, source)
SELECT
    event_date,
    user_id,
    source,
    COUNT(*) AS total_events,
    SUM(CASE WHEN event_type = 'purchase' THEN 1 ELSE 0 END) AS total_purchases,
    MIN(event_timestamp) AS first_seen,
    MAX(event_timestamp) AS last_seen
FROM silver.user_events
GROUP BY event_date, user_id, source
