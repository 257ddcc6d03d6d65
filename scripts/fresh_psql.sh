#!/bin/bash
# Runs psql in a database of its own: a copy of the template database FRESH_TEMPLATE that is dropped afterwards.
# pg_prove uses it as psql (scripts/test.sh), so that each suite starts from the same state, whatever others committed.
set -euo pipefail
name=fresh_$$
"$BINDIR/psql" -XAtq -d postgres -c "CREATE DATABASE $name TEMPLATE $FRESH_TEMPLATE"
status=0
PGDATABASE=$name "$BINDIR/psql" "$@" || status=$?
"$BINDIR/psql" -XAtq -d postgres -c "DROP DATABASE $name WITH (FORCE)"
exit $status
