"""OCI images from folders, by nothing but this file: no registry, no daemon, no root. The same folder gives the same bytes."""

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(
    archive: Path, name: str, root: Path, entrypoint: list[str], user: str | None = None, environment: tuple[str, ...] = ()
) -> str:
    """Writes an archive of one image, NAME:TAG, whose only layer is a folder; returns the image's digest."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(data)}

    target = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    layer = blob(_layer(root), "layer.v1.tar")
    run = {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin", *environment], "WorkingDir": "/"}
    run |= {"User": user} if user else {}
    contents = {"rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    config = blob(_json(target | {"config": run} | contents), "config.v1+json")
    manifest = blob(_json({"schemaVersion": 2, "config": config, "layers": [layer]}), "manifest.v1+json")
    tag = name.rpartition(":")[2]
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "manifests": [manifest | {"annotations": names, "platform": target}]}
    with tarfile.open(archive, "w") as out:
        _add_file(out, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add_file(out, "index.json", _json(index))
        for digest, data in sorted(blobs.items()):
            _add_file(out, f"blobs/{digest.replace(':', '/')}", data)
    return manifest["digest"]


def read(archive: Path) -> tuple[str, dict, dict]:
    """An archive's image: digest, configuration, and files by path, each with mode, owner, time and digest."""
    files = {}
    with tarfile.open(archive) as given:

        def blob(descriptor: dict) -> bytes:
            return given.extractfile(f"blobs/{descriptor['digest'].replace(':', '/')}").read()

        manifest = json.load(given.extractfile("index.json"))["manifests"][0]
        parts = json.loads(blob(manifest))
        for layer in parts["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(layer))) as contents:
                for entry in contents:
                    content = hashlib.sha256(contents.extractfile(entry).read()).hexdigest() if entry.isfile() else None
                    facts = (entry.type, entry.mode & 0o7777, entry.uid, entry.gid, entry.mtime, entry.linkname, content)
                    files[entry.name.strip("/")] = facts
        return manifest["digest"], json.loads(blob(parts["config"]))["config"], files


def _layer(root: Path) -> bytes:
    """A folder as a tar file: sorted, owned by root, from 1970."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as out:
        for path in sorted(root.rglob("*")):
            entry = out.gettarinfo(path, str(path.relative_to(root)))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            if entry.isfile():
                # Two names of one file would be written as a link to the first.
                entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
                with open(path, "rb") as content:
                    out.addfile(entry, content)
            else:
                out.addfile(entry)
    return data.getvalue()


def _add_file(out: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    out.addfile(entry, io.BytesIO(data))


def _json(value) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
