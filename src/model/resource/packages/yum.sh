# Installs `packages` with yum or dnf in one transaction. Set before: packages. (Package scripts of
# these distributions start nothing and compile nothing, so there is nothing to hold back.)
set -u
export LC_ALL=C
log=/run/provision/packages.log
failure=/run/provision/packages.failure
manager=$(command -v dnf || command -v yum) || { echo 'this host has neither yum nor dnf' > "$failure"; exit 1; }

fail() {
    printf '%s\n' "$@" > "$failure"
    exit 1
}

wait_for_lock() {
    waited=0
    while pid=$(cat /run/yum.pid /var/run/yum.pid 2>/dev/null | head -n 1); [ -n "$pid" ] && [ -d "/proc/$pid" ]; do
        who="$(cat "/proc/$pid/comm" 2>/dev/null) (process $pid)"
        [ "$waited" -lt 1200 ] || fail "the package manager's lock is still held by $who after 20 minutes" \
            'look what it does, let it end or stop it, and run again'
        [ $((waited % 10)) != 0 ] || echo "waiting for the package manager's lock: $who holds it"
        sleep 1
        waited=$((waited + 1))
    done
}

install() {
    # A misspelt name is an error, though yum itself would pass it over and end well.
    case $manager in
        */dnf) set -- --setopt=install_weak_deps=False ;;
        *) set -- --setopt=skip_missing_names_on_install=False ;;
    esac
    # shellcheck disable=SC2086 # a list of names
    "$manager" -y "$@" install $packages 9>&-
}

lacks() {
    for name in $packages; do
        rpm -q "$name" > /dev/null 2>&1 || printf '%s ' "$name"
    done
}

nearest() {
    prefix=$1
    while [ ${#prefix} -ge 3 ]; do
        found=$("$manager" -q -C list "$prefix*" 2>/dev/null | sed -n 's/^\([^ ]*\)\.[^. ]* .*/\1/p' | sort -u | head -n 6 | tr '\n' ' ')
        [ -z "$found" ] || break
        prefix=${prefix%???}
    done
    echo "${found:-none alike}"
}

explain() {
    full=$(grep -m 1 -i -e 'No space left on device' -e 'more space needed on' -e 'At least .*MB more' "$log") && fail \
        "$full" 'a disk is full: make room (yum clean all) and run again'
    lines=$(grep -e 'Could not retrieve mirrorlist' -e 'Cannot find a valid baseurl' -e 'Could.\?n.\?t resolve host' \
        -e 'Failed to download metadata' -e 'Cannot prepare internal mirrorlist' -e 'Cannot download' -e '^Errors during downloading' "$log" | sort -u | tail -n 6)
    [ -z "$lines" ] || fail "$lines" "a package repository cannot be reached: check network, name \
resolution and proxy of this host, or name another mirror"
    unknown=$(sed -n -e 's/^No package \(.*\) available\.\?$/\1/p' -e 's/^No match for argument: *\(.*\)/\1/p' "$log" | sort -u)
    [ -z "$unknown" ] || fail "$(for name in $unknown; do
        echo "no repository of this host has a package \`$name\`; alike: $(nearest "$name")"
    done)" 'check the platform and the release, and that /etc/yum.repos.d names their repositories'
    fail "$(grep -v '^ *$' "$log" | tail -n 12)" "$manager gave up; its whole output is in $log"
}

wait_for_lock
install || explain
systemctl daemon-reload 2>/dev/null
missing=$(lacks)
[ -z "$missing" ] || ! grep -q -e '^No package ' -e '^No match ' "$log" || explain
[ -z "$missing" ] || fail "the package manager ended well, and yet these are not installed: $missing"
