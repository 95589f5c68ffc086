"""A small client of the Kubernetes API: JSON over one kept connection per thread."""

import http.client
import json
import ssl
import threading
import time
from pathlib import Path

PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """An answer that is not a success."""

    def __init__(self, code: int, method: str, path: str, message: str):
        super().__init__(f"{method} {path}: {code}: {message}")
        self.code = code


class Api:
    """An API server on 127.0.0.1, asked by the holder of a certificate, who may impersonate a user.

    With patience, a server that is away is asked again for so many seconds.
    """

    def __init__(
        self,
        port: int,
        authority: Path,
        certificate: tuple[Path, Path],
        user: str | None = None,
        patience: float = 0,
    ):
        self.port = port
        self.patience = patience
        self.headers = {"Impersonate-User": user} if user else {}
        self.tls = ssl.create_default_context(cafile=str(authority))
        self.tls.load_cert_chain(*map(str, certificate))
        self.kept = threading.local()

    def get(self, path: str):
        """The object or list at a path; None if there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def items(self, path: str) -> list:
        """The items of a list."""
        return self.request("GET", path)["items"]

    def create(self, path: str, body: dict):
        """Creates an object in the collection at a path."""
        return self.request("POST", path, body)

    def patch(self, path: str, body: dict, kind: str = "merge"):
        """Patches an object."""
        return self.request("PATCH", path, body, {"Content-Type": PATCHES[kind]})

    def delete(self, path: str, body: dict | None = None) -> None:
        """Deletes an object, if it is there."""
        try:
            self.request("DELETE", path, body)
        except ApiError as error:
            if error.code != 404:
                raise

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        return self.request("GET", "/readyz") == "ok"

    def request(self, method: str, path: str, body: dict | None = None, headers: dict | None = None):
        """One request; its JSON, or its text if it is not JSON."""
        sent = {"Content-Type": "application/json", "Accept": "application/json"} | self.headers | (headers or {})
        data = None if body is None else json.dumps(body)
        # A kept connection may have been closed since; a new one that fails is an error, but for the patient.
        end = time.monotonic() + self.patience
        fresh = False
        while True:
            connection = self._connection(fresh)
            try:
                connection.request(method, path, data, sent)
                response = connection.getresponse()
                text = response.read().decode()
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                if fresh:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.2)
                fresh = True
        value = json.loads(text) if response.headers.get("Content-Type", "").startswith("application/json") else text
        if response.status >= 300:
            raise ApiError(
                response.status, method, path, value.get("message", text) if isinstance(value, dict) else text
            )
        return value

    def watch(self, path: str, version: str):
        """The events of a collection after a version: (type, object), until the server ends the watch."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=30)
        joint = "&" if "?" in path else "?"
        wanted = f"{path}{joint}watch=true&timeoutSeconds=20&allowWatchBookmarks=true&resourceVersion={version}"
        try:
            connection.request("GET", wanted, headers=self.headers)
            response = connection.getresponse()
            if response.status != 200:
                raise ApiError(response.status, "WATCH", path, response.read().decode())
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()

    def _connection(self, fresh: bool) -> http.client.HTTPSConnection:
        if fresh or not hasattr(self.kept, "connection"):
            self.kept.connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=60)
        return self.kept.connection
