# The dashboard of the cloud {{cloud.name}}. Whoever can reach the host may ask for it by any of its names.
ALLOWED_HOSTS = ["*"]
OPENSTACK_HOST = "{{cloud.controller.address}}"
OPENSTACK_KEYSTONE_URL = "http://{{cloud.controller.address}}:5000/v3"
OPENSTACK_KEYSTONE_DEFAULT_ROLE = "member"
SESSION_TIMEOUT = {{service.horizon.session_timeout}}
WEBROOT = "{{platform.horizon.path}}"
# Where the style sheets were put together for when the package was installed.
STATIC_URL = "{{platform.horizon.static_path}}"
