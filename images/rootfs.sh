#!/bin/sh
# rootfs.sh OUT PROGRAM [FOLDER=PATH]..: the root filesystem of an image that holds one program and what it needs to run:
# its shared libraries, certificate authorities, a user. No shell, no package manager. FOLDER is copied to PATH.
set -eu
out=$1 program=$2
shift 2

mkdir -p "$out/usr/bin" "$out/etc/ssl/certs"
strip --strip-debug -o "$out/usr/bin/$(basename "$program")" "$program"
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 755 "$library" "$out$library"
done
install -m 644 /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/"
echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >"$out/etc/passwd"
echo 'nonroot:x:65532:' >"$out/etc/group"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
for pair in "$@"; do
    mkdir -p "$out${pair#*=}"
    cp -R "${pair%%=*}/." "$out${pair#*=}"
done
chmod -R u=rwX,go=rX "$out"
find "$out" -exec touch --no-dereference --date=@0 {} +
