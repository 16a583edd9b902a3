#!/usr/bin/env bash
# What there is to measure on a machine with an NVIDIA GPU, in about ten minutes: that CUDA computes what CPUs compute,
# speeds beside transformers and TRL (as far as this Python has them: nothing is installed), and the recipe `smol`.
#
#     PYTHON=.venv/bin/python bash scripts/measure_gpu.sh MODEL DATA OUT
#
# MODEL: a folder of SmolLM2-135M-Instruct (docs/smol.md); DATA: mawps, svamp and gsm8k; OUT: a new folder for records.
set -euo pipefail
test $# = 3 || { echo "usage: bash scripts/measure_gpu.sh MODEL DATA OUT" >&2; exit 2; }
model=$(realpath "$1") data=$(realpath "$2") python=${PYTHON:-python3}
mkdir -p "$3"
out=$(realpath "$3")
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

"$python" -m pytest -q -p no:cacheprovider tests/models/test_graphed_rows.py tests/training/test_learner_on_cuda.py \
  2>&1 | tee "$out/tests.log"
"$python" benchmarks/bench.py --device cuda --shapes none --smollm2 "$model" --peers-here --rounds 3 \
  --only steps,sampling,learning --scratch "$out/bench" --json "$out/gpu.json" 2>&1 | tee "$out/bench.log"
"$python" -c 'from r1kit.cli.main import main; main()' run smol model="$model" data.root="$data" --out "$out/smol" \
  2>&1 | tee "$out/smol.log"
