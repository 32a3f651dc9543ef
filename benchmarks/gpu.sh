#!/usr/bin/env bash
# Fine-tuning against TRL on one GPU: `benchmarks/gpu.sh`, or `benchmarks/gpu.sh --steps 20 --rounds 5`.
# Needs no model, no data and no network: benchmarks/gpu.py says what it does. PYTHON names another interpreter.
# A machine that has torch, transformers, peft and trl may lack these few: they are named, not installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
"$python" - <<'CHECK'
import importlib.util
needed = ["torch", "transformers", "peft", "trl", "accelerate", "datasets", "tokenizers", "pydantic", "yaml", "typer"]
if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
    raise SystemExit(f"benchmarks/gpu.sh needs packages that this Python has not: {', '.join(missing)}.")
CHECK
exec "$python" -m benchmarks.gpu "$@"
