#!/bin/sh
# rootfs.sh [--nvidia] OUT PROGRAM [FOLDER=PATH]..: the root filesystem of an image that holds one program and what it needs
# to run: its shared libraries, certificate authorities, a user. No shell, no package manager. FOLDER is copied to PATH.
# --nvidia: and what the driver needs that NVIDIA's container toolkit puts into a container.
set -eu
nvidia=
if [ "$1" = --nvidia ]; then
    nvidia=yes
    shift
fi
out=$1 program=$2
shift 2

mkdir -p "$out/usr/bin" "$out/etc/ssl/certs"
strip --strip-debug -o "$out/usr/bin/$(basename "$program")" "$program"
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 755 "$library" "$out$library"
done
if [ -n "$nvidia" ]; then
    # Libraries that the driver's ask for by name; glibc has had most of them in libc.so since 2.34.
    libc=$(ldd "$program" | grep -o '/[^ ]*libc\.so\.6')
    for name in libdl.so.2 libm.so.6 libpthread.so.0 librt.so.1; do
        install -D -m 755 "$(dirname "$libc")/$name" "$out$(dirname "$libc")/$name"
    done
fi
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
