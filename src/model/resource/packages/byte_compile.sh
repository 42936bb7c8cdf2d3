# Byte-compiles what a package transaction put off (`defer` in apt.sh), until nothing is left. Safe at
# any time, also while packages are being installed.
#
# Set before: queue, the file of calls; niceness; following=yes for what goes on beside the transaction
# itself. The file is moved aside before it is worked off and removed after, so that calls made
# meanwhile start a new one, and a crash loses none.
folder=/var/lib/provision/packages
mkdir -p "${queue%/*}"
exec 8> "$queue.lock"
if ! flock -n 8; then
    [ -z "${following-}" ] || exit 0
    # What follows the transaction, at the lowest priority, makes room. What it has done is kept.
    kill "$(cat "$queue.following")" 2>/dev/null
    until flock -w 10 8; do echo 'waiting for byte-compilation that is already going on'; done
fi
while [ -s "$queue.taken" ] || [ -s "$queue" ]; do
    [ -s "$queue.taken" ] || mv -f "$queue" "$queue.taken"
    size=$(wc -c < "$queue.taken")
    nice -n "$niceness" python3 "$folder/byte_compile.py" "$queue.taken" 8>&- &
    compiler=$!
    [ -z "${following-}" ] || echo "$compiler" > "$queue.following"
    wait "$compiler" || exit 1
    rm -f "$queue.following"
    # A call that was being written when the file was moved came in late.
    [ "$(wc -c < "$queue.taken")" != "$size" ] || rm -f "$queue.taken"*
done
