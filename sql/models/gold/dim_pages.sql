-- description: One row per page that was ever visited
-- materialize: rollup
-- key: page
-- column page: the page; (none) for events without one
-- column total_events: all events on this page
-- test: not_null(page, total_events)
-- test: unique(page)
-- test: row_count(min=1)
SELECT
    page,
    SUM(total_events) AS total_events
FROM gold.page_days
GROUP BY page
