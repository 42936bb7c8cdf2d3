# Gives the RabbitMQ user `user` the password that is on standard input, and all permissions on the
# virtual host `vhost`. The password is in no argument list: rabbitmqctl would only ask a terminal for it, so the
# server reads it from a file that nobody else can, and that is gone again whatever happens.
set -u
IFS= read -r password || { echo 'no password arrived' >&2; exit 1; }
ctl() { timeout 120 rabbitmqctl -q "$@" </dev/null 2>&1; }
json() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

folder=$(mktemp -d /var/lib/rabbitmq/.provision.XXXXXX) || exit 1
trap 'rm -rf -- "$folder"' EXIT
trap 'exit 1' HUP INT TERM
umask 077

if [ -z "$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-3.[0-6].* 2>/dev/null)" ]; then
    name=$(json "$user") host=$(json "$vhost")
    cat > "$folder/definitions.json" <<EOF
{"users": [{"name": "$name", "password": "$(json "$password")", "tags": ""}], "vhosts": [{"name": "$host"}],
 "permissions": [{"user": "$name", "vhost": "$host", "configure": ".*", "write": ".*", "read": ".*"}]}
EOF
    chown -R rabbitmq "$folder"
    said=$(ctl import_definitions "$folder/definitions.json") && exit 0
    printf '%s\n' "$said" >&2
    exit 1
fi

# Before 3.7 there is no such command, but the server can be told to do what it would have done.
printf '%s' "$password" > "$folder/password"
printf '%s' "$user" > "$folder/user"
chown -R rabbitmq "$folder"
with_password() {
    ctl eval "
        {ok, P} = file:read_file(\"$folder/password\"), {ok, U} = file:read_file(\"$folder/user\"),
        rabbit_auth_backend_internal:$1(U, P)."
}
said=$(with_password add_user) || said=$(with_password change_password) || {
    printf '%s\n' "$said" >&2
    exit 1
}
if [ "$vhost" != / ]; then
    said=$(ctl add_vhost "$vhost") || case $said in
        *already?exists*) ;;
        *) printf '%s\n' "$said" >&2; exit 1 ;;
    esac
fi
ctl set_permissions -p "$vhost" "$user" '.*' '.*' '.*' >&2
