"""An object store that speaks S3, as a process of this machine: SeaweedFS, from PyPI."""

import base64
import json
import urllib.request
from pathlib import Path

from . import processes, tools
from .cluster import free_port

BUCKET = "proofs"
KEY, SECRET = "key", "secret"


class ObjectStore:
    """A store with one bucket, in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.program = tools.seaweedfs()
        (folder / "data").mkdir(parents=True)
        self.ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
        identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}]}
        identity["actions"] = ["Admin", "Read", "Write", "List"]
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def url(self) -> str:
        """The URL of the store."""
        return f"s3://{BUCKET}/artifacts-of-tests"

    def credentials(self) -> dict[str, str]:
        """The data of a Secret that gives access."""
        plain = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.ports['s3']}",
            "AWS_ALLOW_HTTP": "true",
        }
        return {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}

    def start(self) -> "ObjectStore":
        """Starts it, on what it had, and waits until it answers."""
        address = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self.folder}/data"]
        ports = [f"-{name}.port={port}" for name, port in self.ports.items()]
        grpc = [f"-{name}.port.grpc={free_port()}" for name in self.ports]
        grpc += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        size = ["-volume.max=5", "-master.volumeSizeLimitMB=64"]
        options = [*address, *ports, *grpc, *size, "-filer", "-s3", f"-s3.config={self.folder}/s3.json"]
        processes.start(self.folder, "weed", self.program, "server", *options)
        processes.until(60, "the object store", self._answers)
        return self

    def kill(self) -> None:
        """Ends it."""
        processes.kill(self.folder, "weed")

    def read(self, digest: str) -> bytes:
        """An artifact."""
        path = f"/buckets/{BUCKET}/artifacts-of-tests/artifacts/{digest}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['filer']}{path}", timeout=10) as response:
            return response.read()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['s3']}/healthz", timeout=2) as response:
                return response.status == 200
        except urllib.error.HTTPError as error:
            return error.code == 403
