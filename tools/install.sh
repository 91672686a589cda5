#!/bin/bash
# Installs the Debian packages of the given purposes (see packages.txt) that are missing. Silent when nothing is missing.
# Usage: tools/install.sh PURPOSE...
set -u
here=$(cd "$(dirname "$0")" && pwd)
purposes=" $* "

missing=()
while read -r purpose package; do
  [[ $purpose == \#* || -z $package ]] && continue
  [[ $purposes == *" $purpose "* ]] || continue
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)
  [[ $state == installed ]] || missing+=("$package")
done <"$here/packages.txt"
((${#missing[@]})) || exit 0

if ((EUID != 0)); then
  echo "Missing packages: ${missing[*]}" >&2
  echo "Run this as root, or first: sudo apt-get install ${missing[*]}" >&2
  exit 77
fi

# Servers are installed as programs to run, not to be started as services of this machine.
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
made_policy=no
finish() {
  [[ $made_policy == yes ]] && rm -f "$policy"
  rm -f "$log"
}
trap finish EXIT
trap 'exit 130' INT TERM
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made_policy=yes
fi

echo "Installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() {
  apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >"$log" 2>&1 </dev/null
}
if ! install; then
  apt-get update -q -o DPkg::Lock::Timeout=300 >>"$log" 2>&1 </dev/null
  if ! install; then
    tail -n 20 "$log" >&2
    echo "apt-get install failed; replay: apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
