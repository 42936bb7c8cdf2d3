# Gives the RabbitMQ user `user` the password that is on standard input, and all permissions on the
# virtual host `vhost`. The password is in no argument list.
set -u
IFS= read -r password || { echo 'no password arrived' >&2; exit 1; }
ctl() { rabbitmqctl -q "$@" 2>&1; }

# Before 3.7, rabbitmqctl took passwords only as an argument. The server reads a file instead.
old=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-3.[0-6].* 2>/dev/null)
with_password() {
    if [ -z "$old" ]; then
        printf '%s\n' "$password" | ctl "$1" "$user"
        return
    fi
    secret=$(mktemp -d /var/lib/rabbitmq/.provision.XXXXXX) || return
    trap 'rm -rf -- "$secret"' EXIT
    (umask 077; printf '%s' "$password" > "$secret/password"; printf '%s' "$user" > "$secret/user")
    chown -R rabbitmq "$secret"
    said=$(ctl eval "
        {ok, P} = file:read_file(\"$secret/password\"), {ok, U} = file:read_file(\"$secret/user\"),
        rabbit_auth_backend_internal:$1(U, P).")
    status=$?
    rm -rf -- "$secret"
    case $said in *already_exists*) status=70 ;; esac
    printf '%s\n' "$said"
    return "$status"
}

said=$(with_password add_user)
status=$?
case $said in
    *already?exists*) said=$(with_password change_password); status=$? ;;
esac
if [ "$status" != 0 ]; then
    printf '%s\n' "$said" >&2
    exit 1
fi
if [ "$vhost" != / ]; then
    said=$(ctl add_vhost "$vhost") || case $said in
        *already?exists*) ;;
        *) printf '%s\n' "$said" >&2; exit 1 ;;
    esac
fi
ctl set_permissions -p "$vhost" "$user" '.*' '.*' '.*' >&2
