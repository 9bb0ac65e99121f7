-- description: One row per user that was ever seen
-- materialize: rollup
-- key: user_id
-- column user_id: the user
-- column total_events: all events of the user
-- column source_count: how many sources (web, mobile) the user came from
-- column first_seen: event time of the user's first event
-- column last_seen: event time of the user's last event
-- test: not_null(user_id, total_events, source_count, first_seen, last_seen)
-- test: unique(user_id)
-- test: row_count(min=1)
SELECT
    user_id,
    SUM(total_events) AS total_events,
    COUNT(DISTINCT source) AS source_count,
    MIN(first_seen) AS first_seen,
    MAX(last_seen) AS last_seen
FROM gold.user_days
GROUP BY user_id
