printf 'now %s\n' "$(date +%s.%N)"
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
( . /etc/os-release 2>/dev/null
  printf 'os_id %s\nos_version %s\nos_name %s\n' "${ID:-unknown}" "${VERSION_ID:-}" "${PRETTY_NAME:-unknown}" )
printf 'kernel %s\n' "$(uname -r)"
printf 'cpus %s\n' "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null || echo 1)"
sed -n 's/^MemTotal: *\([0-9]*\).*/memory_kib \1/p' /proc/meminfo
printf 'virt %s\n' "$(systemd-detect-virt 2>/dev/null || true)"
# A machine that is itself emulated may offer /dev/kvm all the same, and fail when an instance starts.
if [ -c /dev/kvm ] && ( : <>/dev/kvm ) 2>/dev/null && grep -qswE 'vmx|svm' /proc/cpuinfo; then echo 'kvm yes'; else echo 'kvm no'; fi
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo 'cgroup 2'; else echo 'cgroup 1'; fi
# A module that is loaded, built in, or there to be loaded: nothing is loaded here.
if [ -d /sys/module/openvswitch ] || modinfo openvswitch >/dev/null 2>&1; then echo 'openvswitch yes'
else echo 'openvswitch no'; fi
if [ -e /sys/fs/selinux/enforce ]; then
  case "$(cat /sys/fs/selinux/enforce)" in 1) echo 'selinux enforcing';; *) echo 'selinux permissive';; esac
else echo "selinux $(getenforce 2>/dev/null || echo disabled)"; fi
# Bit 25 of the bounding set is CAP_SYS_TIME.
caps=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
case "$(printf '%s' "$caps" | cut -c10)" in [2367abefABEF]) echo 'clock yes';; *) echo 'clock no';; esac
printf 'boot_id %s\n' "$(cat /proc/sys/kernel/random/boot_id)"
printf 'machine_id %s\n' "$(cat /etc/machine-id 2>/dev/null)"
printf 'hostname %s\n' "$(uname -n)"
df -Pk / | awk 'NR == 2 { print "root_free_kib " $4 }'
ip -o link show 2>/dev/null | awk '{
  name = $2; sub(/[:@].*/, "", name); mac = "-"; mtu = 0
  for (i = 3; i < NF; i++) { if ($i == "mtu") mtu = $(i + 1); if ($i ~ /^link\//) mac = $(i + 1) }
  print "link " name " " mac " " mtu " " ($3 ~ /[<,]UP[,>]/ ? "up" : "down") }'
ip -o -4 addr show 2>/dev/null | awk '{ print "address " $2 " " $4 }'
ip -4 route show default 2>/dev/null | awk 'NR == 1 {
  for (i = 1; i < NF; i++) { if ($i == "via") via = $(i + 1); if ($i == "dev") dev = $(i + 1) }
  print "route " via " " dev }'
