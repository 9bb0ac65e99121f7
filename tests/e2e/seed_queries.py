"""The SQL that the documentation of the platform before this one gave its users over `realtime.*` and `gold.*`, in the same expressions.

Assumes nothing. Promises names that say what a person wanted to know; `ROWS` must give rows while events flow, `MAYBE` need not.
"""

RECENT = "realtime.events_per_minute WHERE window_start >= NOW() - INTERVAL"
ROWS = {
    "recent activity": "SELECT window_start, event_type, SUM(event_count) as total_events FROM realtime.events_per_minute "
                       "GROUP BY window_start, event_type ORDER BY window_start DESC LIMIT 20",
    "newest windows": "SELECT window_start, event_type, event_count FROM realtime.events_per_minute ORDER BY window_start DESC LIMIT 10",
    "last hour by type": f"SELECT event_type, SUM(event_count) as total, AVG(event_count) as avg_per_minute, MAX(event_count) as peak FROM {RECENT} "
                         "'1 hour' GROUP BY event_type ORDER BY total DESC",
    "last 30 minutes": f"SELECT event_type, SUM(event_count) as total_events, ROUND(AVG(event_count), 1) as avg_per_minute FROM {RECENT} "
                       "'30 minutes' GROUP BY event_type ORDER BY total_events DESC",
    "last hour per minute": f"SELECT DATE_TRUNC('minute', window_start) as time, event_type, SUM(event_count) as events FROM {RECENT} '1 hour' "
                            "GROUP BY 1, 2 ORDER BY 1 DESC, 2",
    "events per second": f"SELECT window_start as time, SUM(event_count) / 60.0 as \"Events per Second\" FROM {RECENT} '5 minutes' "
                         "GROUP BY window_start ORDER BY window_start",
    "hours of today": "SELECT DATE_TRUNC('hour', window_start) as time, event_type, SUM(event_count) as count FROM realtime.events_per_minute "
                      "WHERE window_start >= CURRENT_DATE GROUP BY 1, 2 ORDER BY 1, 2",
    "login split": "SELECT source, SUM(login_count) as total_logins FROM realtime.logins_per_source WHERE window_start >= NOW() - INTERVAL "
                   "'30 minutes' GROUP BY source ORDER BY total_logins DESC",
    "login trend": "SELECT window_start, source, SUM(login_count) as logins FROM realtime.logins_per_source GROUP BY window_start, source "
                   "ORDER BY window_start DESC LIMIT 20",
    "recent purchases": "SELECT window_start, SUM(purchase_count) as purchases FROM realtime.purchases_per_minute GROUP BY window_start "
                        "ORDER BY window_start DESC LIMIT 10",
    "purchases per second": "SELECT window_start, purchase_count, ROUND(purchase_count::numeric / 60, 2) as purchases_per_second "
                            "FROM realtime.purchases_per_minute ORDER BY window_start DESC LIMIT 10",
    "purchase rate": "SELECT COUNT(DISTINCT window_start) as minutes, SUM(purchase_count) as total_purchases, ROUND(SUM(purchase_count)::numeric "
                     "/ COUNT(DISTINCT window_start), 2) as avg_per_minute FROM realtime.purchases_per_minute "
                     "WHERE window_start >= NOW() - INTERVAL '1 hour'",
    "alert: purchases": "SELECT SUM(purchase_count) as value FROM realtime.purchases_per_minute WHERE window_start >= NOW() - INTERVAL '5 minutes'",
    "DAU history": "SELECT event_date, dau_count, updated_at FROM gold.daily_active_users ORDER BY event_date DESC",
    "DAU of a week": "SELECT event_date as time, dau_count as \"DAU\" FROM gold.daily_active_users WHERE event_date >= CURRENT_DATE - 7 ORDER BY event_date",
    "DAU growth": "SELECT event_date, dau_count, LAG(dau_count) OVER (ORDER BY event_date) as previous_day, ROUND(100.0 * (dau_count - LAG(dau_count) "
                  "OVER (ORDER BY event_date)) / NULLIF(LAG(dau_count) OVER (ORDER BY event_date), 0), 2) as growth_percent "
                  "FROM gold.daily_active_users ORDER BY event_date DESC",
    "week over week": "SELECT event_date as time, dau_count as \"This Week\", LAG(dau_count, 7) OVER (ORDER BY event_date) as \"Last Week\", "
                      "ROUND(100.0 * (dau_count - LAG(dau_count, 7) OVER (ORDER BY event_date)) / NULLIF(LAG(dau_count, 7) OVER (ORDER BY event_date), 0)"
                      ", 1) as \"Growth %\" FROM gold.daily_active_users ORDER BY event_date DESC",
    "conversion today": "SELECT event_date, ROUND((conversion_rate * 100)::numeric, 2) as conversion_pct, total_purchases, dau_count, updated_at "
                        "FROM gold.conversion_rate_daily WHERE event_date = CURRENT_DATE",
    "conversion trend": "SELECT event_date, ROUND(conversion_rate * 100, 2) as conversion_pct, total_purchases, dau_count "
                        "FROM gold.conversion_rate_daily ORDER BY event_date DESC LIMIT 7",
    "best conversion": "SELECT event_date, ROUND((conversion_rate * 100)::numeric, 2) as conversion_pct, total_purchases "
                       "FROM gold.conversion_rate_daily ORDER BY conversion_rate DESC LIMIT 5",
    "conversion in words": "SELECT event_date, total_events, total_purchases, ROUND(conversion_rate * 100, 2) || '%' as conversion_pct "
                           "FROM gold.conversion_rate_daily ORDER BY event_date DESC",
    "conversion recalculated": "SELECT event_date, total_purchases, dau_count, ROUND((conversion_rate * 100)::numeric, 2) as reported_conversion, "
                               "ROUND(100.0 * total_purchases / NULLIF(dau_count, 0), 2) as calculated_conversion FROM gold.conversion_rate_daily "
                               "WHERE event_date = CURRENT_DATE",
    "sources today": "SELECT source, event_count, ROUND(100.0 * event_count / SUM(event_count) OVER(), 2) as percentage "
                     "FROM gold.events_per_source_daily WHERE event_date = CURRENT_DATE ORDER BY event_count DESC",
    "source trend": "SELECT event_date, source, event_count FROM gold.events_per_source_daily ORDER BY event_date DESC, source",
    "sources by day": "SELECT event_date, source, event_count, ROUND(100.0 * event_count / SUM(event_count) OVER (PARTITION BY event_date), 1) as pct "
                      "FROM gold.events_per_source_daily ORDER BY event_date DESC, event_count DESC",
    "mobile and web": "SELECT event_date, MAX(CASE WHEN source = 'mobile' THEN event_count END) as mobile_events, MAX(CASE WHEN source = 'web' "
                      "THEN event_count END) as web_events, ROUND(100.0 * MAX(CASE WHEN source = 'mobile' THEN event_count END) / "
                      "NULLIF(SUM(event_count), 0), 2) as mobile_percentage FROM gold.events_per_source_daily GROUP BY event_date ORDER BY event_date DESC",
    "pages today": "SELECT page, purchase_count, ROUND(100.0 * purchase_count / SUM(purchase_count) OVER(), 2) as percentage "
                   "FROM gold.purchases_per_page_daily WHERE event_date = CURRENT_DATE ORDER BY purchase_count DESC",
    "pages ranked": "SELECT page, purchase_count, RANK() OVER (ORDER BY purchase_count DESC) as rank FROM gold.purchases_per_page_daily "
                    "WHERE event_date = CURRENT_DATE ORDER BY purchase_count DESC LIMIT 10",
    "page trend": "SELECT page, event_date, purchase_count FROM gold.purchases_per_page_daily WHERE page IN ('/checkout', '/cart', '/products/detail') "
                  "ORDER BY event_date DESC, purchase_count DESC",
    "daily summary": "SELECT d.event_date, d.dau_count as active_users, ROUND((c.conversion_rate * 100)::numeric, 2) as conversion_pct, "
                     "c.total_purchases, SUM(e.event_count) as total_events FROM gold.daily_active_users d JOIN gold.conversion_rate_daily c "
                     "ON d.event_date = c.event_date JOIN gold.events_per_source_daily e ON d.event_date = e.event_date "
                     "WHERE d.event_date = CURRENT_DATE GROUP BY d.event_date, d.dau_count, c.conversion_rate, c.total_purchases",
    "now against average": "WITH current_hour AS (SELECT SUM(event_count) as events_this_hour FROM realtime.events_per_minute "
                           "WHERE window_start >= date_trunc('hour', NOW())), daily_avg AS (SELECT AVG(event_count) as avg_events_per_day "
                           "FROM gold.events_per_source_daily) SELECT events_this_hour, avg_events_per_day, ROUND(100.0 * events_this_hour / "
                           "NULLIF(avg_events_per_day, 0), 2) as current_vs_avg_pct FROM current_hour, daily_avg",
    "engagement": "SELECT event_date, dau_count, ROUND((SELECT SUM(event_count) FROM gold.events_per_source_daily e WHERE e.event_date = d.event_date)"
                  "::numeric / NULLIF(d.dau_count, 0), 2) as events_per_user FROM gold.daily_active_users d ORDER BY event_date DESC LIMIT 7",
    "totals check": "SELECT event_date, SUM(event_count) as total_from_source_table, (SELECT SUM(purchase_count) FROM gold.purchases_per_page_daily p "
                    "WHERE p.event_date = e.event_date) as purchases_from_page_table FROM gold.events_per_source_daily e "
                    "WHERE event_date = CURRENT_DATE GROUP BY event_date",
    "table sizes": "SELECT schemaname, tablename, pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) AS size FROM pg_tables "
                   "WHERE schemaname IN ('realtime', 'gold') ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC",
    "row counts": " UNION ALL ".join(f"SELECT '{table}' as table_name, COUNT(*) FROM {table}" for table in (
        "realtime.events_per_minute", "realtime.logins_per_source", "realtime.purchases_per_minute", "gold.daily_active_users",
        "gold.conversion_rate_daily", "gold.events_per_source_daily", "gold.purchases_per_page_daily")),
    "plan": "EXPLAIN ANALYZE SELECT * FROM gold.daily_active_users",
}
MAYBE = {
    # Empty in the first instants of a minute.
    "current minute": "SELECT event_type, SUM(event_count) as count FROM realtime.events_per_minute WHERE window_start = date_trunc('minute', NOW()) "
                      "GROUP BY event_type ORDER BY count DESC",
    # No row with a count of 0 is kept.
    "pages without purchases": "SELECT DISTINCT page FROM gold.purchases_per_page_daily WHERE purchase_count = 0 AND event_date = CURRENT_DATE",
    "gaps per minute": "SELECT generate_series(date_trunc('minute', NOW() - INTERVAL '1 hour'), date_trunc('minute', NOW()), '1 minute'::interval) "
                       "as expected_minute EXCEPT SELECT DISTINCT window_start FROM realtime.events_per_minute "
                       "WHERE window_start >= NOW() - INTERVAL '1 hour' ORDER BY 1 DESC",
    "missing days": "SELECT generate_series(CURRENT_DATE - INTERVAL '7 days', CURRENT_DATE, '1 day'::interval)::date as expected_date "
                    "EXCEPT SELECT event_date FROM gold.daily_active_users ORDER BY 1 DESC",
}
VIEW = ("CREATE OR REPLACE VIEW gold.daily_metrics AS SELECT d.event_date, d.dau_count, ROUND((c.conversion_rate * 100)::numeric, 2) as conversion_pct, "
        "c.total_purchases, m.event_count as mobile_events, w.event_count as web_events FROM gold.daily_active_users d LEFT JOIN "
        "gold.conversion_rate_daily c ON d.event_date = c.event_date LEFT JOIN gold.events_per_source_daily m ON d.event_date = m.event_date "
        "AND m.source = 'mobile' LEFT JOIN gold.events_per_source_daily w ON d.event_date = w.event_date AND w.source = 'web' "
        "ORDER BY d.event_date DESC")
