#!/bin/sh
# Sets the project up from a fresh clone: a Python to use, uv, and the locked packages in .venv.
# Needs neither root nor containers, writes into the checkout only, and is done at once if nothing changed.
set -eu

UV_VERSION=0.13.9
cd "$(dirname "$0")/../.."
root=$(pwd)
stamp=.venv/.set-up-for

# What the environment is made from. If none of it changed since the last time, there is nothing to do.
wanted=$(cat uv.lock pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml deploy/local/bootstrap.sh | cksum)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
    # An environment that is there keeps its Python: making it anew would pull it from under running programs.
    for candidate in ${PYTHON:+"$PYTHON"} .venv/bin/python python3 python3.13 python3.12 python3.11 python3.14 python; do
        # Ask it instead of trusting its name: some are only placeholders that point to an app store.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

megabytes() { du -sk "$1" | awk '{ printf "%.0f", $1 / 1024 }'; }
# On a terminal uv shows its progress; elsewhere it would list a hundred packages.
quiet=--quiet
[ -t 2 ] && quiet=
uv_fits() { [ "$("$1" --version 2>/dev/null | awk '{ print $2 }')" = "$UV_VERSION" ]; }

began=$(date +%s)
python=$(find_python) || fail "Python 3.11 or newer is needed and was not found.
Install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13),
or name it: make setup PYTHON=/path/to/python3"

uv="$root/.local/toolchain/uv/bin/uv"
if ! uv_fits "$uv"; then
    if on_path=$(command -v uv) && uv_fits "$on_path"; then
        uv=$on_path
    else
        say "Installing uv $UV_VERSION ..."
        rm -rf .local/toolchain/uv
        mkdir -p .local/toolchain
        # uv's own environment must not hang on .venv, which may be removed.
        "$("$python" -c 'import sys; print(sys._base_executable)')" -m venv .local/toolchain/uv ||
            fail "$python cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv"
        .local/toolchain/uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION" ||
            fail "uv could not be installed. Check that the Python package index (or the one pip is set to) is reachable."
    fi
fi

say "Installing the locked packages into .venv with $("$python" -V) ..."
unset VIRTUAL_ENV
UV_PROJECT_ENVIRONMENT="$root/.venv" UV_PYTHON_DOWNLOADS=never \
    "$uv" sync $quiet --frozen --python "$python" ||
    fail "the packages could not be installed (see above). What has arrived is kept: run the same command again."

printf '%s\n' "$wanted" >"$stamp"
say "Set up: $(megabytes .venv) MB of packages in $(($(date +%s) - began)) s."
