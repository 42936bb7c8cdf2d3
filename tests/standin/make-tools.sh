# make-tools.sh NEW BASE: a copy of the lab's base, with what works below the stand-in's surface.
set -eu
new=$1 base=$2
cp -a "$base/." "$new"
mount --bind /dev "$new/dev"
mount -t proc proc "$new/proc"
cp /etc/resolv.conf "$new/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$new/usr/sbin/policy-rc.d"
chmod 755 "$new/usr/sbin/policy-rc.d"
# Manuals and translations are never looked at.
printf 'path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n' \
    > "$new/etc/dpkg/dpkg.cfg.d/lean"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$new" apt-get -q update
chroot "$new" apt-get -qy --no-install-recommends install \
    apache2-bin chrony createrepo-c curl dnf ethtool gnupg libapache2-mod-wsgi-py3 lsof \
    mariadb-client-core mariadb-server-core memcached nftables openvswitch-switch python3 python3-pymysql rpm
chroot "$new" apt-get clean
rm -rf "$new"/usr/sbin/policy-rc.d "$new"/etc/resolv.conf "$new"/var/lib/apt/lists/*
