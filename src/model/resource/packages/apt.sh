# Installs `packages` with apt in one transaction. Set before: packages; hold and defer (yes or no).
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 UCF_FORCE_CONFFOLD=1
export APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
log=/run/provision/packages.log
failure=/run/provision/packages.failure
stamp=/var/lib/provision/stamps/apt-update

fail() {
    printf '%s\n' "$@" > "$failure"
    exit 1
}

# --- The lock, and who holds it -----------------------------------------------------------------

holder() {
    for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock \
        /var/cache/apt/archives/lock; do
        inode=$(stat -c %i "$lock" 2>/dev/null) || continue
        while read -r _ _ _ _ pid place _; do
            case $place in *:"$inode") echo "$(cat "/proc/$pid/comm" 2>/dev/null) (process $pid)"; return ;; esac
        done < /proc/locks
    done
}

wait_for_lock() {
    waited=0
    while who=$(holder); [ -n "$who" ]; do
        [ "$waited" -lt 1200 ] || fail "the package manager's lock is still held by $who after 20 minutes" \
            "look what it does, let it end or stop it, and run again"
        [ $((waited % 10)) != 0 ] || echo "waiting for the package manager's lock: $who holds it"
        sleep 1
        waited=$((waited + 1))
    done
}

# --- Services stay down while packages are configured -------------------------------------------

policy=/usr/sbin/policy-rc.d
marker='# provision: holds services back while packages are installed'

release_services() {
    if grep -qsF "$marker" "$policy" || [ ! -e "$policy" ]; then
        rm -f "$policy"
        [ ! -e "$policy.provision" ] || mv -f "$policy.provision" "$policy"
    fi
}

hold_services() {
    [ ! -e "$policy" ] || mv -f "$policy" "$policy.provision"
    printf '#!/bin/sh\n%s\nexit 101\n' "$marker" > "$policy.new"
    chmod 0755 "$policy.new"
    mv -f "$policy.new" "$policy"
}

# --- Python sources are compiled later, all together ---------------------------------------------

# Maintainer scripts find `py3compile` by PATH, and apt decides on the PATH of dpkg: nothing on the
# host is replaced, so nothing has to be restored. Not under /run, where Debian forbids programs.
shims=/var/lib/provision/bin
queue=/var/lib/provision/byte-compile
search=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

defer_byte_compilation() {
    mkdir -p "$shims" "$queue"
    cat > "$shims/py3compile" <<END
#!/bin/sh
# Notes what is to be compiled: one line a request, its words parted by the unit separator.
{ printf '%s\037' "\$@"; echo; } >> $queue/requests
END
    chmod 0755 "$shims/py3compile"
    search=$shims:$search
}

# --- The transaction ------------------------------------------------------------------------------

# Nothing needs to survive a power cut in the middle of a transaction that would be repeated anyway:
# one sync at the end is as good as one for every file, and much faster.
apt() {
    apt-get -y -q --no-install-recommends -o "DPkg::Path=$search" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o Dpkg::Options::=--force-unsafe-io \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
        "$@" 9>&-
}

# Lists are fetched when ours are old, or the repositories have changed since.
lists_are_fresh() {
    [ -n "$(find "$stamp" -mmin -720 2>/dev/null)" ] &&
        [ -z "$(find /etc/apt -newer "$stamp" \( -name '*.list' -o -name '*.sources' -o -name '*.conf' \) 2>/dev/null)" ]
}

fetch_lists() {
    echo 'fetching the package lists'
    # A dead repository among others must not stop what does not need it, so the failure waits.
    fetched=yes
    apt -o APT::Update::Error-Mode=any update || return
    mkdir -p "${stamp%/*}"
    touch "$stamp"
}

repair() {
    [ -n "$(dpkg --audit)" ] || return 0
    echo 'finishing an interrupted package transaction'
    dpkg --configure -a --force-confdef --force-confold
    apt --fix-broken install
}

lacks() {
    # shellcheck disable=SC2086 # a list of names
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $packages 2>&1 | grep -v '^.i '
}

install() {
    # shellcheck disable=SC2086 # a list of names
    apt install $packages
}

# --- What went wrong, and the way out -------------------------------------------------------------

nearest() {
    prefix=$1
    while [ ${#prefix} -ge 3 ]; do
        found=$(apt-cache pkgnames "$prefix" | sort | head -n 6 | tr '\n' ' ')
        [ -z "$found" ] || break
        prefix=${prefix%?}
    done
    echo "${found:-none alike}"
}

unreachable() {
    lines=$(grep -e '^[EW]: Failed to fetch' -e '^Err:' -e '^  Could not ' "$log" | sort -u | tail -n 6)
    [ -z "$lines" ] || fail "$lines" 'a package repository cannot be reached: check network, name' \
        'resolution and proxy of this host, or name another mirror'
}

explain() {
    full=$(grep -m1 -e 'No space left on device' -e "don't have enough free space" "$log") && fail \
        "$full" "$(df -h /var /usr / 2>/dev/null | sort -u | grep -e '9[5-9]%' -e '100%')" \
        'a disk is full: make room (apt-get clean) and run again'
    [ "${listless-}" != yes ] || unreachable
    unknown=$(sed -n -e 's/^E: Unable to locate package \(.*\)/\1/p' \
        -e "s/^E: Package '\(.*\)' has no installation candidate/\1/p" "$log" | sort -u)
    [ -z "$unknown" ] || fail "$(for name in $unknown; do
        echo "no repository of this host has a package \`$name\`; alike: $(nearest "$name")"
    done)" 'check the platform and the release, and that /etc/apt/sources.list.d names their repositories'
    unreachable
    broken=$(sed -n 's/^dpkg: error processing package \([^ ]*\).*/\1/p' "$log" | sort -u | tr '\n' ' ')
    [ -z "$broken" ] || fail "$(grep -B 12 -m1 '^dpkg: error processing' "$log")" \
        "the package scripts of $broken failed: cure what they say and run again; it goes on from there"
    fail "$(grep -e '^E: ' -e '^ .* : ' "$log" | tail -n 12)" "apt-get gave up; its whole output is in $log"
}

# --- In this order ----------------------------------------------------------------------------------

restore() {
    release_services
}
trap restore EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

wait_for_lock
restore
if [ "$hold" = yes ]; then
    hold_services
    # Units are enabled as files; the many `daemon-reload`s in between become one at the end.
    export SYSTEMD_OFFLINE=1
fi
[ "$defer" != yes ] || defer_byte_compilation
repair
fetched=no
lists_are_fresh || fetch_lists || listless=yes
install || {
    # A list that is too old names packages that the mirror has replaced since.
    [ "$fetched" = no ] &&
        grep -q -e 'Unable to locate' -e 'no installation candidate' -e '404 ' "$log" &&
        fetch_lists && install
} || explain
[ "$hold" != yes ] || release_services
unset SYSTEMD_OFFLINE
sync
systemctl daemon-reload 2>/dev/null
# Its own trigger was held back too; without this, logind and polkit lose the bus.
if [ "$hold" = yes ] && systemctl is-active --quiet dbus 2>/dev/null; then systemctl reload dbus; fi
missing=$(lacks)
[ -z "$missing" ] || fail "apt-get ended well, and yet these are not installed: $missing"
