# Runs the worker that stands in /run/provision/packages.sh apart from this connection: a cut cable
# must not stop a package manager half way. Its output is passed on while it lasts; what it says of
# a failure comes last, on standard error.
#
# Only one worker runs at a time; one of an earlier run, cut from its connection, is waited for.
exec 9> /run/provision/packages.lock
until flock -w 10 9; do
    echo "waiting for the package transaction of an earlier run to end (process $(cat /run/provision/packages.pid))"
done
log=/run/provision/packages.log
: > "$log"
: > /run/provision/packages.failure
setsid nice -n "$niceness" sh /run/provision/packages.sh >> "$log" 2>&1 < /dev/null &
worker=$!
echo "$worker" > /run/provision/packages.pid
exec 9>&-
# Counts the packages that are set up, for displays.
count() {
    finished=0 total=0
    while IFS= read -r line; do
        printf '%s\n' "$line"
        case $line in
            [0-9]*' upgraded, '[0-9]*' newly installed, '*)
                total=${line#*, }
                total=$((${line%% *} + ${total%% *}))
                ;;
            'Setting up '*)
                finished=$((finished + 1))
                echo "provision-progress $finished $total packages"
                ;;
        esac
    done
}
tail -n +1 -f -s 0.2 --pid="$worker" "$log" | count
wait "$worker"
status=$?
cat /run/provision/packages.failure >&2
exit "$status"
