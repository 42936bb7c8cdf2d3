# Shows why units did not come up: their last log lines, then what systemd says of them.
#
# Defines `report UNIT...`: status 1 if one of the units is not active. With `conditional=yes`, a
# unit that was skipped because of its own conditions is fine.
report() {
    bad=0
    for unit in "$@"; do
        systemctl is-active --quiet "$unit" && continue
        state=$(systemctl show -p ActiveState,SubState,Result,ConditionResult,ExecMainStatus "$unit")
        case $state in
            *ConditionResult=no*)
                [ "$conditional" = yes ] && continue
                echo "$unit was not started: a Condition in its unit file is not met" >&2
                bad=1
                continue
                ;;
        esac
        bad=1
        journalctl --unit "$unit" --lines 20 --no-pager --output cat >&2 2>/dev/null
        name=${unit%.service}
        for log in /var/log/*/"${name#openstack-}.log" "/var/log/${name#openstack-}.log"; do
            [ -s "$log" ] || continue
            echo "the end of $log:" >&2
            tail -n 20 "$log" >&2
        done
        echo "$unit did not come up: $(echo "$state" | grep -v '^Condition' | tr '\n' ' ')" >&2
    done
    return "$bad"
}
