#!/usr/bin/env bash
# Sees to it that valgrind is there, which counts instructions for one of the tests. It comes from the system's packages:
# installed where that needs nobody's consent (root, with apt-get), else this says what to install.
set -euo pipefail

if command -v valgrind >/dev/null; then
    echo "==> $(valgrind --version): present"
    exit
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "==> valgrind is missing, and one test needs it: install the package 'valgrind' of your system" >&2
    exit
fi
install() {
    apt-get install --yes --no-install-recommends valgrind
}
echo '==> valgrind: installing (about 1 min)'
# The lists of packages may be there or not, and may be old.
install >/dev/null 2>&1 || { apt-get update >/dev/null && install >/dev/null; }
echo "==> $(valgrind --version): installed"
