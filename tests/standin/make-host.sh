# make-host.sh NEW TOOLS MIRROR FILES: what a user of the host sees becomes CentOS 7; FILES are laid over it.
set -eu
new=$1 tools=$2 mirror=$3 files=$4
cp -a "$tools/." "$new"
inside() { chroot "$new" env LC_ALL=C "$@"; }

# An empty database, to be copied at the first start: root has no password, as it was then.
inside mariadb-install-db --datadir=/usr/libexec/standin/mysql --auth-root-authentication-method=normal --skip-test-db \
    --innodb-log-file-size=8M > /dev/null 2>&1
# The real servers and tools keep working under names that nobody's path leads to.
real=$new/usr/libexec/standin/real
mkdir -p "$real"
for program in \
    bin/chronyc bin/dnf-3 bin/mariadb bin/memcached bin/ovs-appctl bin/ovs-dpctl \
    bin/ovs-dpctl-top bin/ovs-ofctl bin/ovs-pki bin/ovs-vsctl bin/ovsdb-client bin/ovsdb-tool bin/rpm bin/uname \
    sbin/apache2 sbin/chronyd sbin/mariadbd sbin/nft sbin/ovs-bugtool sbin/ovs-vswitchd sbin/ovsdb-server; do
    mv "$new/usr/$program" "$real/"
done

mv "$new/usr/share/openvswitch" "$real/openvswitch"
rm -f "$new"/usr/bin/mysql* "$new"/usr/sbin/mysql* "$new"/usr/bin/mariadb* "$new"/usr/sbin/mariadb*

# Nothing says Debian.
rm -rf "$new"/etc/apt "$new"/etc/dpkg "$new"/etc/debian_version "$new"/etc/mysql "$new"/etc/apache2 "$new"/etc/chrony \
    "$new"/etc/memcached.conf "$new"/etc/default/openvswitch-switch "$new"/etc/dnf "$new"/etc/os-release \
    "$new"/etc/init.d "$new"/etc/rc?.d "$new"/etc/network "$new"/etc/systemd/network "$new"/var/lib/openvswitch \
    "$new"/etc/openvswitch "$new"/var/lib/chrony "$new"/var/log/* "$new"/var/cache/apt
rm -f "$new"/usr/bin/apt* "$new"/usr/bin/dpkg* "$new"/usr/bin/dnf* "$new"/usr/bin/deb*-* "$new"/usr/sbin/dpkg*
cd "$new/usr/lib/systemd/system"
rm -rf ssh.service ssh.socket ssh@.service rescue-ssh.target memcached.service chrony*.service openvswitch* ovs* \
    apt-* dpkg-* mariadb* apache*
inside find /etc/systemd/system -xtype l -delete
inside systemctl --quiet disable systemd-networkd.service systemd-networkd.socket systemd-networkd-wait-online.service
cd /

# Numbers that packages of CentOS want and Debian has given to others.
free=700
for id in 27 48 99 107 160 161 162 163 164 165 166 187 188; do
    for kind in group passwd; do
        name=$(awk -F: -v id=$id '$3 == id { print $1 }' "$new/etc/$kind")
        [ -n "$name" ] || continue
        case $kind in
        group) inside groupmod -g $free "$name"; find "$new" -xdev -gid $id -exec chgrp -h $free {} + ;;
        passwd) inside usermod -u $free "$name"; find "$new" -xdev -uid $id -exec chown -h $free {} + ;;
        esac
        free=$((free + 1))
    done
done
for user in memcache _chrony; do inside userdel "$user" 2> /dev/null || :; done
inside groupadd -g 99 nobody
inside groupadd -g 10 wheel 2> /dev/null || inside groupadd -g 410 wheel

mkdir -p "$new"/etc/rc.d/init.d
for level in 0 1 2 3 4 5 6; do
    mkdir -p "$new/etc/rc.d/rc$level.d"
    ln -s rc.d/rc$level.d "$new/etc/rc$level.d"
done
ln -s rc.d/init.d "$new/etc/init.d"
cp -a --no-preserve=ownership "$files/." "$new"
rm -f "$new/usr/lib/systemd/systemd-sysv-install"
ln -s ../../sbin/chkconfig "$new/usr/lib/systemd/systemd-sysv-install"

mkdir -p "$new/srv/mirror" "$new/var/cache/yum" "$new/var/lib/standin" "$new/var/log/standin"
chmod 1777 "$new/var/lib/standin" "$new/var/log/standin"
cp -a "$mirror/." "$new/srv/mirror"
inside rpm --initdb
# shellcheck disable=SC2046 # a list of names
inside rpm -i --nodeps --nosignature $(sed 's|^|/srv/mirror/|' "$mirror/installed")
inside chkconfig network on
inside systemctl --quiet enable NetworkManager.service firewalld.service sshd.service standin-boot.service \
    standin-mirror.service
rm -f "$new/etc/resolv.conf"
