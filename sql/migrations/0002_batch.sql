-- What the batch layer needs: who leads, what was run and what came of it, what is published. Tables of schema gold follow the
-- models; the four that every installation has are here, so that a dashboard never meets a missing one.

CREATE SCHEMA IF NOT EXISTS gold;

-- Who may do something that only one may do at a time. Every clock is this server's.
CREATE TABLE ops.leases (
    name        TEXT        PRIMARY KEY,
    holder      TEXT        NOT NULL,
    -- One more with every acquisition.
    epoch       BIGINT      NOT NULL CHECK (epoch > 0),
    -- Tells two acquisitions apart where a restored dump has wound the epoch back.
    token       TEXT        NOT NULL,
    acquired_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    renewed_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at  TIMESTAMPTZ NOT NULL,
    -- Makes a change of these three an UPDATE of a key: it waits for whoever holds FOR KEY SHARE, and a mere renewal does not.
    UNIQUE (name, epoch, token)
);
COMMENT ON TABLE ops.leases IS 'Who leads; a transaction that must not outlive its leader locks the row FOR KEY SHARE.';

CREATE TABLE ops.runs (
    id                  BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job                 TEXT        NOT NULL,
    state               TEXT        NOT NULL DEFAULT 'queued'
                        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'skipped')),
    trigger             TEXT        NOT NULL CHECK (trigger IN ('schedule', 'manual', 'retry', 'backfill', 'late_data')),
    requested_by        TEXT        NOT NULL,
    params              JSONB       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(params) = 'object'),
    -- The tasks and what each comes after, once a leader has laid them out.
    plan                JSONB,
    retry_of            BIGINT,
    due_at              TIMESTAMPTZ,
    queued_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
    started_at          TIMESTAMPTZ,
    ended_at            TIMESTAMPTZ,
    -- The leader that runs it, or that ran it last.
    epoch               BIGINT,
    leader              TEXT,
    cancel_requested_at TIMESTAMPTZ,
    cancel_requested_by TEXT,
    -- Why it was skipped, was cancelled or failed.
    message             TEXT,
    CHECK ((state IN ('queued', 'running')) = (ended_at IS NULL)),
    CHECK (state <> 'running' OR (started_at IS NOT NULL AND epoch IS NOT NULL))
);
COMMENT ON TABLE ops.runs IS 'Every run of a job, whatever came of it; pruned after batch.keep_runs.';
-- A job runs once at a time, whoever thinks otherwise.
CREATE UNIQUE INDEX runs_one_at_a_time ON ops.runs (job) WHERE state = 'running';
CREATE INDEX runs_queued ON ops.runs (job, id) WHERE state = 'queued';
CREATE INDEX runs_of_job ON ops.runs (job, id DESC);
CREATE INDEX runs_ended ON ops.runs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE ops.tasks (
    id           BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       BIGINT      NOT NULL REFERENCES ops.runs ON DELETE CASCADE,
    task         TEXT        NOT NULL,
    -- Its place in the plan.
    place        INTEGER     NOT NULL,
    attempt      INTEGER     NOT NULL CHECK (attempt > 0),
    state        TEXT        NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'skipped', 'retrying',
                                  'upstream_failed', 'interrupted')),
    epoch        BIGINT,
    started_at   TIMESTAMPTZ,
    ended_at     TIMESTAMPTZ,
    -- When the next attempt is due, after one that failed.
    retry_at     TIMESTAMPTZ,
    versions_in  JSONB,
    versions_out JSONB,
    rows_in      BIGINT,
    rows_out     BIGINT,
    -- In full.
    error        TEXT,
    UNIQUE (run_id, task, attempt),
    CHECK ((state IN ('queued', 'running')) = (ended_at IS NULL)),
    CHECK (state <> 'running' OR started_at IS NOT NULL),
    CHECK ((state = 'retrying') = (retry_at IS NOT NULL))
);
COMMENT ON TABLE ops.tasks IS 'Every attempt of every task of a run: what it read, what it wrote, how it ended.';
CREATE UNIQUE INDEX tasks_one_open_attempt ON ops.tasks (run_id, task) WHERE state IN ('queued', 'running');

CREATE TABLE ops.logs (
    -- Grows in the order in which the lines of one run become visible: a reader goes on after the last one it has seen.
    id      BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id  BIGINT      NOT NULL REFERENCES ops.runs ON DELETE CASCADE,
    -- None: of the run as a whole.
    task    TEXT,
    attempt INTEGER,
    at      TIMESTAMPTZ NOT NULL,
    level   TEXT        NOT NULL CHECK (level IN ('error', 'warn', 'info', 'debug')),
    message TEXT        NOT NULL
);
COMMENT ON TABLE ops.logs IS 'What runs and their task attempts said.';
CREATE INDEX logs_of_run ON ops.logs (run_id, id);

CREATE TABLE ops.schedules (
    job           TEXT        PRIMARY KEY,
    first_seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    paused        BOOLEAN     NOT NULL DEFAULT false,
    paused_at     TIMESTAMPTZ,
    paused_by     TEXT,
    -- The newest time that a run was queued for by itself.
    last_due_at   TIMESTAMPTZ,
    -- For people: what the leader has worked out last.
    next_due_at   TIMESTAMPTZ
);
COMMENT ON TABLE ops.schedules IS 'Which jobs begin by themselves, and when they did last.';

-- What is in a table of schema gold; written in the transaction that writes the rows.
CREATE TABLE ops.published (
    table_name   TEXT        PRIMARY KEY,
    model        TEXT        NOT NULL,
    lake_id      TEXT        NOT NULL,
    model_hash   TEXT        NOT NULL,
    version      BIGINT      NOT NULL,
    rows         BIGINT      NOT NULL,
    epoch        BIGINT      NOT NULL,
    run_id       BIGINT,
    published_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.published IS 'Which version of which lake table is in each table of schema gold.';

CREATE TABLE ops.published_days (
    table_name   TEXT        NOT NULL REFERENCES ops.published ON DELETE CASCADE,
    event_date   DATE        NOT NULL,
    rows         BIGINT      NOT NULL,
    -- Rows that the day was computed from, where that is known.
    source_rows  BIGINT,
    published_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, event_date)
);
COMMENT ON TABLE ops.published_days IS 'How much is published of each day: a closed day that shrinks is not published unseen.';

CREATE TABLE ops.model_tests (
    id           BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       BIGINT      NOT NULL REFERENCES ops.runs ON DELETE CASCADE,
    model        TEXT        NOT NULL,
    test         TEXT        NOT NULL,
    severity     TEXT        NOT NULL CHECK (severity IN ('warn', 'fail')),
    passed       BOOLEAN     NOT NULL,
    failing_rows BIGINT      NOT NULL,
    sample       JSONB       NOT NULL DEFAULT '[]',
    error        TEXT,
    checked_at   TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.model_tests IS 'How each test of each model went, run by run.';
CREATE INDEX model_tests_of_run ON ops.model_tests (run_id, id);
CREATE INDEX model_tests_of_model ON ops.model_tests (model, id DESC);

CREATE TABLE ops.tested_models (
    model      TEXT        PRIMARY KEY,
    lake_id    TEXT        NOT NULL,
    tests_hash TEXT        NOT NULL,
    version    BIGINT      NOT NULL,
    tested_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.tested_models IS 'Up to which version each gold table has passed its tests: the next tests read what is new since.';

-- Below this a table of schema realtime is not complete any more: the rows were deleted for their age.
CREATE TABLE ops.retention (
    table_name     TEXT        PRIMARY KEY,
    deleted_before TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE ops.retention IS 'From where on each window table is complete.';

CREATE TABLE gold.daily_active_users (
    event_date DATE        PRIMARY KEY,
    dau_count  BIGINT,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_dau_date ON gold.daily_active_users (event_date DESC);

CREATE TABLE gold.events_per_source_daily (
    event_date  DATE        NOT NULL,
    source      TEXT        NOT NULL,
    event_count BIGINT,
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (event_date, source)
);

CREATE TABLE gold.purchases_per_page_daily (
    event_date     DATE        NOT NULL,
    page           TEXT        NOT NULL,
    purchase_count BIGINT,
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (event_date, page)
);

CREATE TABLE gold.conversion_rate_daily (
    event_date      DATE        PRIMARY KEY,
    total_events    BIGINT,
    total_purchases BIGINT,
    dau_count       BIGINT,
    conversion_rate NUMERIC,
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Dashboards read as `grafana`, where that role exists.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
        GRANT USAGE ON SCHEMA gold TO grafana;
        GRANT SELECT ON ALL TABLES IN SCHEMA gold, ops TO grafana;
        ALTER DEFAULT PRIVILEGES IN SCHEMA gold GRANT SELECT ON TABLES TO grafana;
    END IF;
END
$$;
