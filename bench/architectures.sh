#!/bin/bash
# Whether models of every architecture compute what llama.cpp computes: little models of random weights
# (tools/make_architecture_models.py), whose perplexity on a text is compared with llama.cpp's, both in F32.
#
# Usage: bench/architectures.sh [TEXT_FILE]     prints the table of docs/manual/evaluate.md
#        bench/architectures.sh --figures       writes the models and the figures of the unit tests
#
# LLAMA_CPP and LLAMA_CPP_LIBRARIES are those of bench/peers/llama_cpp.sh; numpy is needed.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
make_scratch
. "$ROOT/bench/peers/llama_cpp.sh"
[ -n "$LLAMA_CPP" ] || die "set LLAMA_CPP to a source tree of llama.cpp"
N_CTX=128 BYTES=8192
compile_peer

if [ "${1:-}" = --figures ]; then
  python3 "$ROOT/tools/make_architecture_models.py" "$SCRATCH" --f32
  python3 "$ROOT/tools/make_architecture_models.py" "$ROOT/test/unit/golden"
  for model in "$SCRATCH"/random-*.gguf; do
    peer logits "$model" "$ROOT/test/unit/golden/$(basename "$model" .gguf).logits.f32" 32 40
  done
  exit
fi

install_packages "${BUILD_PACKAGES[@]}"
{ build_extension && stage_extension; } >"$SCRATCH/log/build" 2>&1 || { tail -n 20 "$SCRATCH/log/build"; exit 1; }
start_server >"$SCRATCH/log/server" 2>&1
createdb architectures
run_psql() { psql -X -q -At -v ON_ERROR_STOP=1 -d architectures "$@"; }
run_psql -c "SET client_min_messages = error; CREATE EXTENSION hartonomous CASCADE"
head -c "$BYTES" "${1:-$ROOT/examples/heldout.txt}" >"$HARTONOMOUS_TMP/text.txt"
python3 "$ROOT/tools/make_architecture_models.py" "$HARTONOMOUS_TMP" --text "$HARTONOMOUS_TMP/text.txt"
echo "| model | architecture | perplexity | llama.cpp | quotient - 1 |"
echo "|---|---|---|---|---|"
for model in "$HARTONOMOUS_TMP"/random-*.gguf; do
  name=$(basename "$model" .gguf)
  peer perplexity "$model" "$HARTONOMOUS_TMP/text.txt" "$N_CTX" "$SCRATCH/theirs"
  theirs=$(cut -f 1 "$SCRATCH/theirs")
  run_psql -v model="$model" -v text="$HARTONOMOUS_TMP/text.txt" -v name="$name" -v theirs="$theirs" -v n_ctx="$N_CTX" \
    <<'SQL'
SET client_min_messages = error;
SELECT hartonomous.import_gguf(:'model', :'name') \g /dev/null
SELECT format('| %s | `%s` | %s | %s | %s |', substr(m.model_name, 8), m.architecture, round(p.ours::numeric, 4),
              round(:theirs::numeric, 4), to_char(p.ours / :theirs - 1, '9.9EEEE'))
  FROM hartonomous.models m
  CROSS JOIN LATERAL (SELECT hartonomous.perplexity(:'name', pg_read_file(:'text'), :n_ctx) AS ours) p
 WHERE m.model_name = :'name';
SQL
done
