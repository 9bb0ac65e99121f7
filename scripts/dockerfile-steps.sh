#!/usr/bin/env bash
# Runs the RUN steps of the Dockerfile's builder as they stand there, without Docker, and looks at what comes out.
#
# Assumes what scripts/setup.sh installs, and CARGO_TARGET_DIR where there is one (else target/): a program that is built already is
# not built again. Promises that the packages which the builder names are enough for this machine's compiler and exist here, that
# the build command works as written, and that the runtime stage installs every library that the program links.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "dockerfile-steps: $*" >&2; exit 1; }

# The stage's instructions, one a line: comments gone, continued lines joined. Stages begin with FROM and count from 1.
stage() {
  sed -e '/^ *#/d' -e ':join' -e '/\\$/{N;s/\\\n */ /;b join' -e '}' Dockerfile |
    awk -v wanted="$1" '$1 == "FROM" { stage++ } stage == wanted'
}
# The commands of its RUN steps, without the options of RUN itself.
runs() { stage "$1" | sed -n 's/^RUN //p' | sed -E 's/--mount=[^ ]+ +//g'; }
packages() { runs "$1" | sed -n 's/.*apt-get install \([^&]*\).*/\1/p' | tr ' ' '\n' | grep -E '^[a-z0-9]' | sort -u; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OUT="$work/out" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

while read -r step; do
  case "$step" in
    # They are here already, by scripts/setup.sh: installing them again would prove no more.
    *"apt-get install"*)
      for package in $(packages 1); do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
          die "the builder installs $package, and scripts/setup.sh did not"
      done
      echo "builder has: $(packages 1 | paste -sd' ')"
      ;;
    *)
      echo "builder: $step"
      sh -euc "$step"
      ;;
  esac
done < <(runs 1)

program="$OUT/tributary"
[ -x "$program" ] || die "the steps made no $program"
"$program" version
"$program" health --help >/dev/null || die "the image's health check is no command"

# Package of each linked library, without the letters that Debian's releases add to the same library (libssl3, libssl3t64).
plain() { sed 's/t64$//'; }
for library in $(ldd "$program" | awk '$3 ~ /^\// { print $3 }'); do
  # Since /lib is a link to /usr/lib, the package may know the file by either name.
  package=$({ dpkg-query --search "$(readlink -f "$library")" "$library" 2>/dev/null || true; } | head -1 | cut -d: -f1 | plain)
  [ -n "$package" ] || die "no package here has $library, which the program links"
  case "$package" in
    libc6 | libgcc-s1) ;; # every Debian has them
    *) packages 2 | plain | grep -qx "$package" || die "the runtime stage does not install $package, which has $library" ;;
  esac
done
echo "runtime has every library; the program is $(($(stat -c %s "$program") >> 20)) MiB"
