#!/usr/bin/env bash
# Sees to it that the programs are there that tests take from the system's packages: installed where that needs nobody's
# consent (root, with apt-get), else this says what to install. A test that lacks one fails and says so.
set -euo pipefail

# Program and package: instructions are counted with the first, networks are made of the others.
packages=()
while read -r program package; do
    command -v "$program" >/dev/null || packages+=("$package")
done <<'END'
curl curl
valgrind valgrind
ip iproute2
iptables iptables
setpriv util-linux
sysctl procps
END

if [ ${#packages[@]} -eq 0 ]; then
    echo '==> Programs from packages: present'
    exit
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "==> Missing, and some tests need it: install ${packages[*]} from the packages of your system" >&2
    exit
fi
install() {
    apt-get install --yes --no-install-recommends "${packages[@]}"
}
echo "==> Installing ${packages[*]} (about 1 min)"
# The lists of packages may be there or not, and may be old.
install >/dev/null 2>&1 || { apt-get update >/dev/null && install >/dev/null; }
echo "==> ${packages[*]}: installed"
