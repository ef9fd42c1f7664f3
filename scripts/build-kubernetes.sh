#!/usr/bin/env bash
# Builds a real kube-apiserver, kube-controller-manager and etcd into .tools/k8s/ for the tests, from the modules that
# tests/tools/{kubernetes,etcd}/go.mod pin. The first build takes minutes; afterwards a stamp makes this a no-op.
# A folder named by KUBEBUILDER_ASSETS that has all three is used instead, and nothing is built.
#
# Usage: build-kubernetes.sh
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=$root/.tools/k8s
programs=(kube-apiserver kube-controller-manager etcd)

fail() {
    echo "error: $*" >&2
    exit 1
}

complete() {
    local program
    for program in "${programs[@]}"; do
        [ -x "$1/$program" ] || return 1
    done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && complete "$KUBEBUILDER_ASSETS"; then
    echo "==> Kubernetes servers: those of KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS)"
    exit 0
fi

command -v go >/dev/null ||
    fail "go is missing: install Go 1.26 or newer, or name a folder with ${programs[*]} in KUBEBUILDER_ASSETS"

# The stamp is the modules' own, so a change of a version builds anew and nothing else does.
stamp=$(cd "$root/tests/tools" && cat kubernetes/go.mod kubernetes/go.sum etcd/go.mod etcd/go.sum | git hash-object --stdin)
if complete "$target" && [ "$(cat "$target/stamp" 2>/dev/null)" = "$stamp" ]; then
    echo "==> Kubernetes servers: present"
    exit 0
fi

mkdir -p "$target"
work=$(mktemp -d "$target/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Usage: build LABEL MODULE-FOLDER LDFLAGS PROGRAM PACKAGE
build() {
    (cd "$root/tests/tools/$2" && exec "$root/scripts/progress.sh" "$1" \
        go build -ldflags "$3" -o "$work/$4" "$5") ||
        fail "$4 cannot be built; the message above is Go's (Go 1.26 or newer, 4 GB of memory and the Go module proxy are needed)"
}

version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$root/tests/tools/kubernetes/go.mod")
[ -n "$version" ] || fail "tests/tools/kubernetes/go.mod requires no version of k8s.io/kubernetes"
# Without the version the server calls itself v0.0.0-master.
kubernetes="-s -w -X k8s.io/component-base/version.gitVersion=$version"

build "etcd: building (first time about 1 min)" etcd "-s -w" etcd go.etcd.io/etcd/server/v3
build "kube-apiserver $version: building (first time about 5 min)" kubernetes "$kubernetes" \
    kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build "kube-controller-manager $version: building (first time about 2 min)" kubernetes "$kubernetes" \
    kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager

for program in "${programs[@]}"; do
    mv "$work/$program" "$target/$program"
done
printf '%s\n' "$stamp" >"$target/stamp"
echo "    Kubernetes servers: ready in ${target#"$root"/}"
