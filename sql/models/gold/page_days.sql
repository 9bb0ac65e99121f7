-- description: Events per page and day; dim_pages is made of it
-- materialize: by_day
-- key: event_date, page
-- hidden: true
-- column event_date: the UTC day
-- column page: the page; (none) for events without one
-- column total_events: events on this page on this day
-- test: not_null(event_date, page, total_events)
-- test: unique(event_date, page)
SELECT
    event_date,
    COALESCE(page, '(none)') AS page,
    COUNT(*) AS total_events
FROM silver.user_events
GROUP BY event_date, COALESCE(page, '(none)')
