-- description: Distinct users per day
-- materialize: by_day
-- key: event_date
-- publish: gold.daily_active_users
-- column event_date: the UTC day
-- column dau_count: users with at least one valid event on this day
-- test: not_null(event_date, dau_count)
-- test: unique(event_date)
-- test: row_count(min=1)
SELECT
    event_date,
    COUNT(DISTINCT user_id) AS dau_count
FROM gold.user_days
GROUP BY event_date
