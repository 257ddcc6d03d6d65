#!/bin/bash
# The loop, left alone: pg_cron, whose jobs are in another database, calls ooda_cycle for a model at each chance for some
# minutes. Prints what it tried and why, what it kept, and size and loss of all that was measured. The text is split:
# calibration, and an evaluation that no calibration has seen.
#
# Usage: bench/ooda.sh [MINUTES [MODEL.gguf TEXT_FILE]], by default five, the example model and its held-out text
#
# Settings (environment):
#   LIMIT   the loss of perplexity, as a share, that the loop may cause (max_degradation); default: 0.05
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
MINUTES=${1:-5}
MODEL=${2:-$ROOT/examples/tiny-stories.gguf}
TEXT=${3:-$ROOT/examples/heldout.txt}
[ $# -le 3 ] && [ $# != 2 ] || die "usage: bench/ooda.sh [MINUTES [MODEL.gguf TEXT_FILE]]"

make_scratch
install_packages "${BUILD_PACKAGES[@]}" "postgresql-$PG_MAJOR-cron"
echo "building"
{ build_extension && stage_extension; } >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
SERVER_SETTINGS="
shared_preload_libraries = 'pg_cron'
cron.database_name = 'jobs'
cron.use_background_workers = on"
start_server >"$SCRATCH/log/server" 2>&1

createdb jobs
psql -X -q -v ON_ERROR_STOP=1 -d jobs -c 'CREATE EXTENSION pg_cron'
createdb models
install -m 644 "$MODEL" "$HARTONOMOUS_TMP/model.gguf"
install -m 644 "$TEXT" "$HARTONOMOUS_TMP/text.txt"
psql -X -q -v ON_ERROR_STOP=1 -d models -v dir="$HARTONOMOUS_TMP" -v minutes="$MINUTES" -v degradation="${LIMIT:-0.05}" \
  -f "$ROOT/bench/ooda.sql"
