#!/bin/sh
# First start of PostgreSQL in docker-compose.yml: the roles, the database and who may do what, as the embedded server has it.
#
# Assumes PostgreSQL's official image, which runs this once, on an empty volume, while nothing listens on the network; the passwords in
# POSTGRES_PASSWORD and GRAFANA_DB_PASSWORD or in the files that the same names with _FILE point to; and that a superuser may connect
# without a password here. Promises that `platform` owns the database `serving`, that `grafana` exists before the program's
# migrations grant it anything (SELECT, nothing else), and that the superuser has no way in over the network afterwards.
set -eu

if [ -z "${GRAFANA_DB_PASSWORD:-}" ]; then
  GRAFANA_DB_PASSWORD=$(cat "${GRAFANA_DB_PASSWORD_FILE:?no GRAFANA_DB_PASSWORD and no GRAFANA_DB_PASSWORD_FILE}")
fi
export POSTGRES_PASSWORD GRAFANA_DB_PASSWORD
# A failing statement would otherwise be repeated in the log, password and all.
export PGOPTIONS='-c log_min_error_statement=panic -c password_encryption=scram-sha-256'

# Not in the arguments: every process could read them there.
psql --no-psqlrc --set ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv platform_password POSTGRES_PASSWORD
\getenv grafana_password GRAFANA_DB_PASSWORD
CREATE ROLE platform LOGIN PASSWORD :'platform_password';
CREATE DATABASE serving OWNER platform;
ALTER DATABASE serving SET timezone TO 'UTC';
-- The image gave the superuser platform's password. Without one it gets in from within the container alone.
ALTER ROLE CURRENT_USER PASSWORD NULL;
-- Last: the health check of the service connects as this role.
CREATE ROLE grafana LOGIN PASSWORD :'grafana_password';
SQL
