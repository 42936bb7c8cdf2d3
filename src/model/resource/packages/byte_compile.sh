# Byte-compiles what package transactions put off (`defer` in apt.sh), until nothing is left. Safe at
# any time, also while packages are being installed.
#
# Set before: niceness. A file of calls is moved aside before it is worked off and removed after, so
# that calls of a transaction meanwhile start a new one, and a crash loses none.
folder=/var/lib/provision/packages
queue=$folder/byte-compile
mkdir -p "$folder"
exec 8> "$folder/byte-compile.lock"
if ! flock -n 8; then
    [ -z "${following-}" ] || exit 0
    # What follows a transaction, at the lowest priority, makes room. What it has done is kept.
    kill "$(cat "$folder/byte-compile.following")" 2>/dev/null
    until flock -w 10 8; do echo 'waiting for byte-compilation that is already going on'; done
fi
while [ -s "$queue.taken" ] || [ -s "$queue" ]; do
    [ -s "$queue.taken" ] || mv -f "$queue" "$queue.taken"
    size=$(wc -c < "$queue.taken")
    nice -n "$niceness" python3 "$folder/byte_compile.py" "$queue.taken" 8>&- &
    compiler=$!
    [ -z "${following-}" ] || echo "$compiler" > "$folder/byte-compile.following"
    wait "$compiler" || exit 1
    rm -f "$folder/byte-compile.following"
    # A call that was being written when the file was moved came in late.
    [ "$(wc -c < "$queue.taken")" != "$size" ] || rm -f "$queue.taken"*
done
