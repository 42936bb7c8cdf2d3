# make-repositories.sh NEW TOOLS: builds, signs and sorts the packages whose sources are in NEW/build, below NEW.
set -eu
new=$1 tools=$2
mount --bind /dev "$tools/dev"
mount -t proc proc "$tools/proc"
mount -t tmpfs tmpfs "$tools/tmp"
mount --bind "$new" "$tools/mnt"
inside() { chroot "$tools" env LC_ALL=C HOME=/tmp GNUPGHOME=/tmp/keys "$@"; }

# One key for each file that a repository's key is in; the private halves are gone when this script ends.
mkdir -m 700 "$tools/tmp/keys"
for key in $(cut -d' ' -f2 "$new/build/keys" | sort -u); do
    name=${key##*/}
    inside gpg --batch --quiet --passphrase '' --quick-generate-key "$name" rsa2048 sign never
    mkdir -p "$new/build/first${key%/*}"
    inside gpg --batch --armor --export "=$name" > "$new/build/first$key"
done

for set in first updates; do
    inside rpmbuild -bb --quiet --target x86_64 --define "_topdir /tmp/$set" --define "_tree /mnt/build/$set" \
        --define '_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' --define '_source_payload w0.gzdio' --define '_binary_payload w0.gzdio' \
        "/mnt/build/$set.spec"
    while read -r place; do
        mkdir -p "$new/${place%/*}"
        mv "$tools/tmp/$set/RPMS/${place##*/}" "$new/$place"
    done < "$new/build/$set.places"
done

while read -r place key; do
    mkdir -p "$new/$place/Packages"
    ls "$new/$place/Packages" | grep -q . && inside sh -c "exec rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name ${key##*/}' --addsign /mnt/$place/Packages/*.rpm"
    inside createrepo_c --quiet --simple-md-filenames "/mnt/$place" > /dev/null
done < "$new/build/keys"
# The newest release is also under its number, as on the archive.
ln -s centos/7 "$new/7.9.2009"
rm -rf "$new/build"
