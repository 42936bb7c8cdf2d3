# Installs `packages` with apt in one transaction. Set before: packages; hold (yes or
# no: services stay down); defer (the name of what byte-compilation is put off to, or empty).
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 UCF_FORCE_CONFFOLD=1
export APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
log=/run/provision/packages.log
failure=/run/provision/packages.failure
folder=/var/lib/provision/packages
stamp=$folder/apt-update
worker=$$

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

# --- What package scripts find instead of some commands ------------------------------------------
#
# dpkg looks commands up in `tools` first. Nothing of the host is changed for that, so there is
# nothing to put back, however this ends.

tools=$folder/bin
queue=$folder/byte-compile/$defer

tool() {
    cat > "$tools/$1.new"
    chmod 0755 "$tools/$1.new"
    mv -f "$tools/$1.new" "$tools/$1"
}

make_tools() {
    rm -rf "$tools"
    mkdir -p "$tools"
    if [ "$hold" = yes ]; then
        # Services stay down. The bus is no service of ours: without its reload, logind and polkit
        # lose their names.
        for starter in invoke-rc.d deb-systemd-invoke; do
            tool "$starter" <<END
#!/bin/sh
case " \$* " in *' dbus '* | *' dbus.service '*) unset SYSTEMD_OFFLINE; PATH=$path; exec $starter "\$@" ;; esac
echo "provision: held back: $starter \$*"
END
        done
    fi
    if [ -n "$defer" ]; then
        mkdir -p "${queue%/*}"
        # A call is put off as its time and arguments, each with a NUL behind it, and a line break.
        tool py3compile <<END
#!/bin/sh
[ -x /usr/bin/py3compile ] || exit 0
{ printf '%s\\0' "\$(date +%s%N)" "\$@"; echo; } >> $queue
END
    fi
}

# --- The transaction ------------------------------------------------------------------------------

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

apt() {
    apt-get -y -q --no-install-recommends \
        -o "DPkg::Path=$tools:$path" \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
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
    touch "$stamp"
}

# Files are unpacked without waiting for the disk. Should the power fail before they are on it, the
# next transaction unpacks the same packages again.
begin() {
    boot=$(cat /proc/sys/kernel/random/boot_id)
    for unsettled in "$folder"/unsettled.*; do
        [ -e "$unsettled" ] && [ "$(cat "$unsettled")" != "$boot" ] || continue
        lost=$(cd /var/lib/dpkg/info && find . -name '*.list' -newer "$unsettled" | sed 's|^\./||; s|\.list$||')
        if [ -n "$lost" ]; then
            echo 'unpacking again what had just been unpacked when the host went down'
            # shellcheck disable=SC2086 # a list of names
            apt --reinstall install $lost || return
        fi
        rm -f "$unsettled"
    done
    echo "$boot" > "$folder/unsettled.$worker"
    sync "$folder/unsettled.$worker"
}

settle() {
    sync -f /usr /var /etc
    rm -f "$folder/unsettled.$worker"
}

# Idle processors byte-compile while dpkg, which uses only one, goes on.
follow() {
    while kill -0 "$worker" 2>/dev/null; do
        if [ -s "$queue" ] && [ "$(dpkg-query -W -f '${db:Status-Status}' python3 2>/dev/null)" = installed ]; then
            following=yes niceness=19 queue=$queue sh "$folder/byte_compile.sh"
        fi
        sleep 1
    done > /dev/null 2>&1
}

repair() {
    [ -n "$(dpkg --audit)" ] || return 0
    echo 'finishing an interrupted package transaction'
    PATH=$tools:$path dpkg --configure -a --force-confdef --force-confold 9>&-
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
    [ -z "$lines" ] || fail "$lines" "a package repository cannot be reached: check network, name \
resolution and proxy of this host, or name another mirror"
}

explain() {
    full=$(grep -h -B 1 -m 1 -e 'No space left on device' -e "don't have enough free space" "$log") && fail \
        "$full" "a disk is full: make room (apt-get clean may help) and run again"
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

trap 'exit 130' INT
trap 'exit 143' TERM

wait_for_lock
make_tools
# systemd reads unit files once at the end, not after each of dozens of packages.
[ "$hold" != yes ] || export SYSTEMD_OFFLINE=1
repair
fetched=no
lists_are_fresh || fetch_lists || listless=yes
begin || explain
[ -z "$defer" ] || follow 9>&- &
install || {
    # A list that is too old names packages that the mirror has replaced since.
    [ "$fetched" = no ] &&
        grep -q -e 'Unable to locate' -e 'no installation candidate' -e '404 ' "$log" &&
        fetch_lists && install
} || explain
unset SYSTEMD_OFFLINE
settle > /dev/null 2>&1 9>&- &
systemctl daemon-reload 2>/dev/null
missing=$(lacks)
[ -z "$missing" ] || fail "apt-get ended well, and yet these are not installed: $missing"
