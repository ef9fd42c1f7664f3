#!/usr/bin/env bash
# Builds a gRPC client with xDS built in (grpc-go), and servers for it to call, into .tools/grpc/ for the tests, from the
# module tests/tools/grpc. Afterwards a stamp makes this a no-op until a source or a version changes.
#
# Usage: build-grpc.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
source=$root/tests/tools/grpc
target=$root/.tools/grpc
programs=(client backend)

fail() {
    echo "error: $*" >&2
    exit 1
}

stamp=$(cat "$source"/go.mod "$source"/go.sum "$source"/*/main.go | git hash-object --stdin)
if [ "$(cat "$target/stamp" 2>/dev/null)" = "$stamp" ] && [ -x "$target/client" ] && [ -x "$target/backend" ]; then
    echo "==> gRPC client: present"
    exit 0
fi

command -v go >/dev/null || fail "go is missing: install Go 1.26 or newer"
mkdir -p "$target"
work=$(mktemp -d "$target/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

version=$(sed -n 's/^.*google.golang.org\/grpc \(v[^ ]*\)$/\1/p' "$source/go.mod")
(cd "$source" && exec "$root/scripts/progress.sh" "grpc-go $version: building client and backend (first time about 1 min)" \
    go build -ldflags "-s -w" -o "$work" ./client ./backend) ||
    fail "the gRPC client cannot be built; the message above is Go's (Go 1.26 or newer and the Go module proxy are needed)"

for program in "${programs[@]}"; do
    mv "$work/$program" "$target/$program"
done
printf '%s\n' "$stamp" >"$target/stamp"
echo "    gRPC client: ready in ${target#"$root"/}"
