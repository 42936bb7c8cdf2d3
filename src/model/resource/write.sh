# Writes standard input into `file`, so that nobody ever sees half of it: under another name in the
# same directory first, which only root can read until it has its owner and mode.
#
# Set before: file; size (bytes on standard input); owner and mode, or both empty to keep what the
# file has (root:root 0644 for a new one); seen (the SHA-256 of the content that the new one was
# derived from, or empty when it does not matter).
set -eu
umask 022
if [ -L "$file" ]; then file=$(readlink -f -- "$file"); fi
folder=${file%/*}
mkdir -p -- "$folder/"
new=$folder/.${file##*/}.provision
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
rm -f -- "$new"
(umask 077; set -C; cat > "$new")
if [ "$(wc -c < "$new")" -ne "$size" ]; then
    echo "the content of $file did not arrive whole; the file is as it was" >&2
    exit 1
fi
if [ -n "$seen" ] && ! echo "$seen  $file" | sha256sum -c >/dev/null 2>&1; then
    echo "$file was changed by somebody else just now; run again" >&2
    exit 1
fi
if [ -n "$owner" ]; then
    chown -- "$owner" "$new"
    chmod -- "$mode" "$new"
elif [ -e "$file" ]; then
    chown --reference="$file" -- "$new"
    chmod --reference="$file" -- "$new"
else
    chmod 0644 "$new"
fi
mv -f -T -- "$new" "$file"
if command -v restorecon >/dev/null 2>&1; then restorecon -- "$file" 2>/dev/null || :; fi
