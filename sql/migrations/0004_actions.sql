-- What people did: on the command line, in the console and over its API.

CREATE TABLE ops.actions (
    id      BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    person  TEXT        NOT NULL,
    via     TEXT        NOT NULL CHECK (via IN ('cli', 'console', 'api')),
    -- run, pause, resume, cancel, retry, backfill, replay
    action  TEXT        NOT NULL,
    -- A job, a run ('run 17') or a stream.
    subject TEXT        NOT NULL,
    params  JSONB       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(params) = 'object'),
    -- 'begun' that stays: whoever did it, or the connection, was gone before the end could be written.
    outcome TEXT        NOT NULL DEFAULT 'begun' CHECK (outcome IN ('begun', 'done', 'refused', 'failed')),
    -- What came of it, or why nothing did.
    message TEXT
);
COMMENT ON TABLE ops.actions IS 'Everything that a person did to jobs, runs and records, and what came of it; pruned after batch.keep_runs.';

-- Dashboards read as `grafana`, where that role exists.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
        GRANT SELECT ON ops.actions TO grafana;
    END IF;
END
$$;
