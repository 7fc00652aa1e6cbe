#!/usr/bin/env bash
# Is what ML Guard says true? Exits 0 only if the health endpoint says {"status":"ok"}, a synthetic topic was replayed,
# and metrics and drift agree with an oracle that recomputes them from the raw events. One line a claim.
#
# It uses the stack that runs (ML_GUARD_URL, or what `ml-guard up` started); if none answers, it starts one and ends it
# again. Every run has projects of its own, so it can be repeated on a stack that has data.
# Options are those of `ml-guard validate`, such as --seed 7 or --events 200000.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
make --silent setup
exec .venv/bin/ml-guard validate --start "$@"
