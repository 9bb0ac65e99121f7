-- Which replays of bronze the windows have taken: moved in the transaction that adds the rows which became valid.

CREATE TABLE ops.replays (
    stream     TEXT        NOT NULL,
    -- The bronze table's own id: another lake counts its replays anew.
    table_id   TEXT        NOT NULL,
    -- Every replay below this number is in the window tables.
    next       BIGINT      NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, table_id)
);
COMMENT ON TABLE ops.replays IS 'Which replays of records that became valid are in the windows.';
