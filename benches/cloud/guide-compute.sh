# A compute host the way install guides do it, after the controller. See guide-controller.sh.
set -eu
export DEBIAN_FRONTEND=noninteractive
. /root/guide/secrets

install() { apt-get -qy --no-install-recommends install "$@"; }
# Into the package's file, whose owner and mode stay as they are.
settings() { for file; do cat "/root/guide$file" > "$file"; done; }

apt-get -q update
install chrony
settings /etc/chrony/chrony.conf
systemctl restart chrony

install nova-compute nova-compute-qemu genisoimage
settings /etc/nova/nova.conf /etc/nova/nova-compute.conf
systemctl restart libvirtd nova-compute

install openvswitch-switch neutron-openvswitch-agent
settings /etc/neutron/neutron.conf /etc/neutron/plugins/ml2/openvswitch_agent.ini
ovs-vsctl --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev -- --may-exist add-port br-ex eth1
ip link set eth1 up
ip address add "$tunnel" dev br-ex
ip link set br-ex up
systemctl enable neutron-openvswitch-agent
systemctl restart neutron-openvswitch-agent nova-compute
