#!/usr/bin/env bash
# Everything `make` needs before it can run the project, in two steps:
#   tools/setup.sh system   system libraries that Qt and the tests' virtual screen need
#   tools/setup.sh venv     .venv with Python 3.12 or 3.13, uv, and this project, editable
# Safe to run again: it only does what is missing. Works with macOS' bash 3.2.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What is installed into .venv. On Linux, torch brings several GB of CUDA libraries; without them:
#   UV_TORCH_BACKEND=cpu make setup                   torch for the processor only, from PyTorch's own index
#   EXTRAS=napari,umap,evaluation,dev make setup      no torch; the tests of the networks skip, saying so
EXTRAS="${EXTRAS:-napari,umap,evaluation,torch,ultrack,trackastra,oracle,dev}"

# Xvfb is the tests' screen, xauth what xvfb-run calls; the rest is what PyQt6 and its xcb platform plugin load.
LIBRARIES="libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1
  libxcb-image0 libxcb-render-util0 libxcb-xinerama0 libdbus-1-3 xvfb xauth"

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# ---- system libraries -------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" -eq 0 ]; then env DEBIAN_FRONTEND=noninteractive "$@"
  else sudo -n env DEBIAN_FRONTEND=noninteractive "$@"; fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; }

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' \
      || printf '%s ' "$package"
  done
}

# apt_install PACKAGE...: install what is missing; status 1, with a line that says what to do, if
# that is not possible here.
apt_install() {
  local missing
  missing=$(missing_packages "$@")
  missing=${missing% }
  [ -n "$missing" ] || return 0
  if can_be_root; then
    say "installing system packages: $missing"
    # shellcheck disable=SC2086  # a list of words
    { as_root apt-get update -qq || true; } >/dev/null  # one dead source need not matter
    if as_root apt-get install -qq -y --no-install-recommends $missing >/dev/null; then return 0; fi
  fi
  say "please install: sudo apt-get install $missing"
  return 1
}

setup_system() {
  [ "$(uname -s)" = Linux ] || return 0
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    command -v xvfb-run >/dev/null \
      || say "not Debian or Ubuntu: please install Xvfb (with xvfb-run) and Qt's xcb libraries yourself"
    return 0
  fi
  # shellcheck disable=SC2086
  apt_install $LIBRARIES || say "going on without: tests that need a window are skipped"
}

# ---- Python -----------------------------------------------------------------------------------

# version_of PYTHON: print its "major.minor"; nothing if it does not really run (a pyenv shim may
# exist and point nowhere).
version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null || true
}

fits() {
  case "$(version_of "$1")" in
    3.12 | 3.13) return 0 ;;
    *) return 1 ;;
  esac
}

find_python() {
  local wanted version candidate
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || die "PYTHON=$PYTHON is not a working Python 3.12 or 3.13"
    printf '%s\n' "$PYTHON"
    return 0
  fi
  wanted=$(cut -d. -f1,2 .python-version)
  for version in "$wanted" 3.12 3.13; do
    for candidate in \
      "python$version" \
      "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version"*/bin/python \
      "/opt/homebrew/bin/python$version" \
      "/usr/local/bin/python$version" \
      "/usr/bin/python$version" \
      "$HOME/.local/bin/python$version"; do
      if [ "$(version_of "$candidate")" = "$version" ]; then
        printf '%s\n' "$candidate"
        return 0
      fi
    done
    if command -v uv >/dev/null; then
      candidate=$(uv python find "$version" --no-python-downloads 2>/dev/null || true)
      if [ -n "$candidate" ] && fits "$candidate"; then
        printf '%s\n' "$candidate"
        return 0
      fi
    fi
  done
  for candidate in python3 python; do
    if fits "$candidate"; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  die "no Python 3.12 or 3.13 found: install one, or name it with: make PYTHON=/path/to/python3.12"
}

setup_venv() {
  local python
  if ! fits .venv/bin/python; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
      # Debian and Ubuntu ship venv apart from Python.
      { command -v apt-get >/dev/null && apt_install "python$(version_of "$python")-venv"; } \
        || die "$python has no venv module: install it (Debian, Ubuntu: python$(version_of "$python")-venv)"
    fi
    say "creating .venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear .venv
  fi
  .venv/bin/python -m uv --version >/dev/null 2>&1 \
    || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
  say "installing napari-dynaclr[$EXTRAS] into .venv"
  .venv/bin/python -m uv pip install --quiet --python .venv/bin/python -e ".[$EXTRAS]"
}

case "${1:-}" in
  system) setup_system ;;
  venv) setup_venv ;;
  *) die "usage: tools/setup.sh system|venv" ;;
esac
