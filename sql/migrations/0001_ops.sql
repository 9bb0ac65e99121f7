-- What the streaming pipeline needs besides the window tables, which are made from the streams' declarations.

CREATE SCHEMA IF NOT EXISTS realtime;
CREATE SCHEMA IF NOT EXISTS ops;

-- Everything below next_offset is in the window tables; moved in the same transaction as their rows.
CREATE TABLE ops.stream_offsets (
    stream          TEXT        NOT NULL,
    incarnation     INTEGER     NOT NULL,
    kafka_partition INTEGER     NOT NULL,
    next_offset     BIGINT      NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, incarnation, kafka_partition)
);

CREATE TABLE ops.topic_incarnations (
    topic       TEXT        NOT NULL,
    topic_id    TEXT        NOT NULL,
    incarnation INTEGER     NOT NULL,
    adopted_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, topic_id)
);

-- Offsets that Kafka no longer had and a person said to skip. Minutes near recorded_at may be incomplete.
CREATE TABLE ops.lost_ranges (
    stream          TEXT        NOT NULL,
    incarnation     INTEGER     NOT NULL,
    kafka_partition INTEGER     NOT NULL,
    from_offset     BIGINT      NOT NULL,
    to_offset       BIGINT      NOT NULL,
    leg             TEXT        NOT NULL,
    reason          TEXT        NOT NULL,
    recorded_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, incarnation, kafka_partition, leg, from_offset)
);

-- Dashboards read as `grafana`, where that role exists.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
        GRANT USAGE ON SCHEMA realtime, ops TO grafana;
        GRANT SELECT ON ALL TABLES IN SCHEMA realtime, ops TO grafana;
        ALTER DEFAULT PRIVILEGES IN SCHEMA realtime GRANT SELECT ON TABLES TO grafana;
        ALTER DEFAULT PRIVILEGES IN SCHEMA ops GRANT SELECT ON TABLES TO grafana;
    END IF;
END
$$;
