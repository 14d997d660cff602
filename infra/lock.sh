#!/usr/bin/env bash
# Writes requirements.lock: plain name==version lines for the base install and the developers' tools, vllm's CPU build among them.
# Pass `keep` to change as little as possible: what the present lock pins stays.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -z "${PIP_FIND_LINKS:-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS// /,}}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# vllm asks for these, but the index's builds do not match a CPU torch and then break `import transformers`.
printf '%s ; sys_platform == "never"\n' torchvision torchaudio torchcodec >"$work/without"
compile=(.venv/bin/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --python-version 3.11 --override "$work/without")
[ "${1:-}" != keep ] || compile+=(--constraint requirements.lock)

"${compile[@]}" pyproject.toml --extra dev --output-file "$work/lock"
sed 's/+cpu$//' "$work/lock" >requirements.lock
