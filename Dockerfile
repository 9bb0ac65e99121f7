# syntax=docker/dockerfile:1
# The image of `tributary`: built from this checkout, with everything that the program brings compiled in (streams, jobs, models).
#
# Assumes BuildKit (any Docker since 23). Promises a second build that compiles only what changed, the same Debian release in both
# stages so that the libraries fit, and a container that runs as a user who owns nothing but /data.
# scripts/dockerfile-steps.sh runs the builder's steps as they stand here, without Docker.

# Not older than `rust-version` in Cargo.toml.
FROM rust:1.95.0-slim-trixie AS builder

# What scripts/setup.sh installs for building: librdkafka, zstd and aws-lc are C.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential pkg-config libssl-dev zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /src
ENV CARGO_TARGET_DIR=/build \
    CARGO_INCREMENTAL=0 \
    OUT=/out
COPY . .

# Profile `up` is what the tests and the benchmarks ran; `release` would compile DataFusion at -O3 for twice the time. Registry and
# target folder are caches of the builder: they outlive a change of Cargo.lock, which a layer of dependencies would not.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/usr/local/cargo/git,sharing=locked \
    --mount=type=cache,target=/build,sharing=locked \
    cargo build --profile up --locked --bin tributary \
 && install -D --strip "$CARGO_TARGET_DIR/up/tributary" "$OUT/tributary"


FROM debian:trixie-slim

# What the program links, and the authorities that sign brokers and object stores.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libssl3t64 zlib1g \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin tributary \
 && install --directory --owner=tributary --group=tributary /data

COPY --from=builder /out/tributary /usr/local/bin/tributary

LABEL org.opencontainers.image.title="Tributary" \
      org.opencontainers.image.description="A streaming lakehouse in one binary: Kafka to Delta Lake and PostgreSQL, exactly once" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"

# Folders streams/, jobs/ and sql/models/ are looked for here; without them what is compiled in holds.
WORKDIR /app
ENV TRIBUTARY_DATA=/data \
    TRIBUTARY_LOG_FORMAT=json
# By number, so that Kubernetes, too, can see that it is not root.
USER 10001:10001
EXPOSE 8082
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --start-interval=1s --retries=3 CMD ["tributary", "health"]
ENTRYPOINT ["tributary"]
CMD ["up"]
