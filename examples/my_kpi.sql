-- description: Logins per hour of the day, to see when people come
-- materialize: by_day
-- key: event_date, hour
-- publish: gold.logins_per_hour
-- column event_date: the UTC day
-- column hour: hour of the day in UTC, 0 to 23
-- column login_count: logins in this hour
-- test: not_null(event_date, hour, login_count)
-- test: unique(event_date, hour)
-- test warn: row_count(min=1)
--
-- A figure of one's own: put this file into sql/models/gold/ (the folder that batch.models_dir names). The next run builds the table
-- gold/my_kpi in the lake, and the line `publish` makes and keeps gold.logins_per_hour in PostgreSQL. No restart, no Rust;
-- `tributary models check` says beforehand whether it would work.
SELECT
    event_date,
    CAST(date_part('hour', event_timestamp) AS INT) AS hour,
    COUNT(*) AS login_count
FROM silver.user_events
WHERE event_type = 'login'
GROUP BY event_date, CAST(date_part('hour', event_timestamp) AS INT)
