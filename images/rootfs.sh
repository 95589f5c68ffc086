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
# A worker loads the GPU's driver, which the node puts into its container and which asks for these by name: glibc has them in libc.so since 2.34.
if [ "$(basename "$program")" = prover-worker ]; then
    libc=$(ldd "$program" | grep -o '/[^ ]*libc\.so\.6')
    for name in libdl.so.2 libpthread.so.0 librt.so.1; do
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
