#!/bin/sh
# Measures on this machine's NVIDIA card what the memory plan assumes; 8 minutes at most. PYTHON names another interpreter,
# whose torch, vllm or ctranslate2 shall be used.
cd "$(dirname "$0")/.." || exit
exec "${PYTHON:-python3}" -B -m benchmarks.on_a_card "$@"
