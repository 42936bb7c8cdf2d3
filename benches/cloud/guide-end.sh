# The last part of a guide, on the controller: the compute host is found, and everything is alive.
set -eu
. /root/guide/secrets
export OS_AUTH_URL=http://$address:5000/v3/ OS_USERNAME=admin OS_PASSWORD="$admin_password" OS_PROJECT_NAME=admin \
    OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_IDENTITY_API_VERSION=3
until openstack compute service list --service nova-compute -f value -c State | grep -q up; do sleep 2; done
su -s /bin/sh nova -c 'nova-manage cell_v2 discover_hosts --verbose'
openstack hypervisor list
until [ "$(openstack network agent list -f value -c Alive | grep -c True)" -ge 5 ]; do sleep 2; done
