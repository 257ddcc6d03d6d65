#!/bin/bash
# Benchmarks of the store on a throwaway cluster: medians of several rounds, as ratios within each round.
# Usage: bench/run.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
