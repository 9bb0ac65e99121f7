-- description: Purchases per page and day; a page without a purchase has no row
-- materialize: by_day
-- key: event_date, page
-- publish: gold.purchases_per_page_daily
-- column event_date: the UTC day
-- column page: the page; (none) for purchases without one
-- column purchase_count: purchases on this page on this day
-- test: not_null(event_date, page, purchase_count)
-- test: unique(event_date, page)
SELECT
    event_date,
    COALESCE(page, '(none)') AS page,
    COUNT(*) AS purchase_count
FROM silver.user_events
WHERE event_type = 'purchase'
GROUP BY event_date, COALESCE(page, '(none)')
