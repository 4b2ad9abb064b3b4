#!/usr/bin/env bash
# tests/bare-root.sh [DIRECTORY]: do the two commands of the README work on a bare Debian 12? Makes one with debootstrap
# (nothing but git and make in it), clones this repository's HEAD into it, and runs `make demo` and `make test`
# there. Needs root, debootstrap and a network; about 15 minutes. Everything is removed in the end; with
# DIRECTORY the logs (demo.log, test.log) are kept there. Exit status 0 when both commands succeed.
set -eu
cd "$(dirname "$0")/.."
logs=${1:-}
[ "$(id -u)" = 0 ] || { echo "tests/bare-root.sh: must be run by root" >&2 && exit 2; }
command -v debootstrap >/dev/null || { echo "tests/bare-root.sh: needs debootstrap" >&2 && exit 2; }

work=$(mktemp -d "${TMPDIR:-/var/tmp}/tsmkit-bare.XXXXXX")
root=$work/root
# The mounts below are made in a namespace of their own and end with it, so this never follows one.
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' INT TERM HUP

# The mirror that this machine itself uses, whatever the form of its sources.
# shellcheck disable=SC2016 # $(…) is apt-get's
mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" && $2 == "main" {print $3; exit}')
: "${mirror:?no sources of Debian 12 in this machine\'s apt}"

echo "making a bare root"
debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
    { tail -20 "$work/debootstrap.log" && exit 1; }
cp /etc/resolv.conf /etc/hosts "$root/etc/"
for setting in Acquire::http::Proxy Acquire::https::Proxy; do
    value=$(apt-config dump --format '%v' "$setting")
    [ -z "$value" ] || echo "$setting \"$value\";" >>"$root/etc/apt/apt.conf.d/90proxy"
done
if registry=$(npm config get registry 2>/dev/null) && [ -n "$registry" ]; then
    echo "registry=$registry" >"$root/root/.npmrc"
fi
git clone -q --no-hardlinks . "$root/root/tsmkit"
before=$(chroot "$root" dpkg-query -W | wc -l)

# inside COMMAND: runs it in the root, with what a running system has: /proc and a /dev.
inside() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare --mount --pid --fork --kill-child bash -c '
        mount --make-rprivate / &&
        mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount -t tmpfs tmpfs "$0/tmp" &&
        exec chroot "$0" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
            sh -c "cd /root/tsmkit && $1"' "$root" "$1"
}

status=0
for command in demo test; do
    echo "make $command"
    start=$SECONDS
    if ! inside "make $command" >"$work/$command.log" 2>&1 </dev/null; then
        echo "make $command failed:"
        status=1
    fi
    tail -n 25 "$work/$command.log" | sed 's/^/    /'
    echo "make $command: $((SECONDS - start)) s"
done
echo "packages: $before before, $(chroot "$root" dpkg-query -W | wc -l) after"
[ -z "$logs" ] || { mkdir -p "$logs" && cp "$work"/*.log "$logs"; }
exit $status
