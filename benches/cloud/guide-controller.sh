# The controller the way install guides do it: service by service, each package set by itself, then its settings, its
# database, its user and its endpoints, one command each. In favour of the guide: settings files are ready beside this
# script instead of being edited, and every command is typed in no time at all.
set -eu
export DEBIAN_FRONTEND=noninteractive
. /root/guide/secrets

install() { apt-get -qy --no-install-recommends install "$@"; }
# Into the package's file, whose owner and mode stay as they are.
settings() { for file; do cat "/root/guide$file" > "$file"; done; }
answers() { until curl -s -o /dev/null -m 5 "http://$address:$1/"; do sleep 1; done; }
as() { su -s /bin/sh "$1" -c "$2"; }
database() {
    mariadb -e "CREATE DATABASE $1 CHARACTER SET utf8mb3"
    mariadb -e "GRANT ALL PRIVILEGES ON $1.* TO '$2'@'localhost' IDENTIFIED BY '$3'"
    mariadb -e "GRANT ALL PRIVILEGES ON $1.* TO '$2'@'%' IDENTIFIED BY '$3'"
}
# service NAME TYPE PASSWORD URL: its user, its role, its place in the catalogue.
service() {
    openstack user create --domain default --password "$3" "$1"
    openstack role add --project service --user "$1" admin
    openstack role add --project service --user "$1" service
    openstack service create --name "$1" --description "$1" "$2"
    for interface in public internal admin; do
        openstack endpoint create --region RegionOne "$2" "$interface" "$4"
    done
}

apt-get -q update

install chrony
settings /etc/chrony/chrony.conf
systemctl restart chrony

install mariadb-server python3-pymysql
settings /etc/mysql/mariadb.conf.d/99-openstack.cnf
systemctl restart mariadb

install rabbitmq-server
settings /etc/rabbitmq/rabbitmq.conf /etc/rabbitmq/rabbitmq-env.conf
systemctl restart rabbitmq-server
rabbitmqctl add_user openstack "$rabbitmq"
rabbitmqctl set_permissions openstack '.*' '.*' '.*'

install memcached python3-memcache
settings /etc/memcached.conf
systemctl restart memcached

install python3-openstackclient curl

database keystone keystone "$keystone_database"
install keystone
settings /etc/keystone/keystone.conf /etc/keystone/keystone-uwsgi.ini
as keystone 'keystone-manage db_sync'
keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
url=http://$address:5000/v3/
keystone-manage bootstrap --bootstrap-password "$admin_password" --bootstrap-admin-url "$url" \
    --bootstrap-internal-url "$url" --bootstrap-public-url "$url" --bootstrap-region-id RegionOne
systemctl restart keystone
answers 5000
export OS_AUTH_URL=$url OS_USERNAME=admin OS_PASSWORD="$admin_password" OS_PROJECT_NAME=admin \
    OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_IDENTITY_API_VERSION=3
openstack project create --domain default --description 'Service Project' service
openstack role create service || openstack role show service

database glance glance "$glance_database"
service glance image "$glance_identity" "http://$address:9292"
install glance-api
settings /etc/glance/glance-api.conf /etc/glance/glance-api-uwsgi.ini
as glance 'glance-manage db_sync'
systemctl restart glance-api
answers 9292

database placement placement "$placement_database"
service placement placement "$placement_identity" "http://$address:8778"
install placement-api
settings /etc/placement/placement.conf /etc/placement/placement-api-uwsgi.ini
as placement 'placement-manage db sync'
systemctl restart placement-api
answers 8778

database nova_api nova "$nova_database"
database nova nova "$nova_database"
database nova_cell0 nova "$nova_database"
service nova compute "$nova_identity" "http://$address:8774/v2.1"
install nova-api nova-conductor nova-scheduler nova-consoleproxy
settings /etc/nova/nova.conf /etc/nova/nova-api-uwsgi.ini /etc/nova/nova-api-metadata-uwsgi.ini \
    /etc/default/nova-consoleproxy
as nova 'nova-manage api_db sync'
as nova 'nova-manage cell_v2 map_cell0'
as nova 'nova-manage cell_v2 create_cell --name=cell1'
as nova 'nova-manage db sync'
as nova 'nova-manage cell_v2 list_cells'
systemctl restart nova-api nova-api-metadata nova-scheduler nova-conductor nova-novncproxy
answers 8774

database neutron neutron "$neutron_database"
service neutron network "$neutron_identity" "http://$address:9696"
install neutron-api neutron-rpc-server neutron-periodic-workers openvswitch-switch neutron-openvswitch-agent \
    neutron-l3-agent neutron-dhcp-agent neutron-metadata-agent
settings /etc/neutron/neutron.conf /etc/neutron/plugins/ml2/ml2_conf.ini \
    /etc/neutron/plugins/ml2/openvswitch_agent.ini /etc/neutron/l3_agent.ini /etc/neutron/dhcp_agent.ini \
    /etc/neutron/metadata_agent.ini /etc/neutron/neutron-api-uwsgi.ini
ovs-vsctl --may-exist add-br br-ex -- set bridge br-ex datapath_type=netdev -- --may-exist add-port br-ex eth1
ip link set eth1 up
ip address add "$tunnel" dev br-ex
ip link set br-ex up
as neutron 'neutron-db-manage --config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade head'
systemctl restart nova-api
systemctl enable neutron-api neutron-rpc-server neutron-periodic-workers neutron-openvswitch-agent neutron-l3-agent \
    neutron-dhcp-agent neutron-metadata-agent
systemctl restart neutron-api neutron-rpc-server neutron-periodic-workers
answers 9696
systemctl restart neutron-openvswitch-agent neutron-l3-agent neutron-dhcp-agent neutron-metadata-agent

install openstack-dashboard-apache
a2dissite default-ssl
settings /etc/openstack-dashboard/local_settings.d/_9000_provision.py
systemctl restart apache2
until curl -s -o /dev/null -m 30 "http://$address/horizon/"; do sleep 1; done
