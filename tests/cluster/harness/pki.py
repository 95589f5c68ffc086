"""Certificates of a throw-away cluster: one authority, EC keys, and kubeconfig files that carry them."""

import base64
import secrets
import subprocess
from pathlib import Path

from . import tools

SERVER_NAMES = [
    "DNS:localhost",
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
    "IP:127.0.0.1",
]


def make(folder: Path, node_name: str, node_address: str, service_address: str) -> None:
    """Fills a folder with NAME.crt and NAME.key for every component, and the service accounts' key pair."""
    folder.mkdir(mode=0o700, parents=True)
    authority = ["-subj", "/CN=proofmill-test", "-days", "30", "-out", folder / "ca.crt"]
    extensions = [
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign,digitalSignature",
    ]
    _key(folder / "ca.key")
    _openssl("req", "-x509", "-new", "-key", folder / "ca.key", *authority, *extensions)
    api_server = [*SERVER_NAMES, f"IP:{service_address}", f"IP:{node_address}"]
    node = f"/O=system:nodes/CN=system:node:{node_name}"
    _certificate(folder, "apiserver", "/CN=kube-apiserver", "serverAuth", api_server)
    _certificate(folder, "kubelet-serving", node, "serverAuth", [f"DNS:{node_name}", f"IP:{node_address}"])
    _certificate(folder, "admin", "/O=system:masters/CN=admin")
    _certificate(folder, "apiserver-kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client")
    _certificate(folder, "kube-controller-manager", "/CN=system:kube-controller-manager")
    _certificate(folder, "kube-scheduler", "/CN=system:kube-scheduler")
    _certificate(folder, "kube-proxy", "/CN=system:kube-proxy")
    _certificate(folder, "kubelet", node)
    _key(folder / "service-accounts.key")
    _openssl("ec", "-in", folder / "service-accounts.key", "-pubout", "-out", folder / "service-accounts.pub")


def kubeconfig(path: Path, folder: Path, name: str, server: str) -> None:
    """Writes a kubeconfig for the holder of a certificate."""
    user = f"{{client-certificate-data: {_data(folder / f'{name}.crt')}, client-key-data: {_data(folder / f'{name}.key')}}}"
    _write_kubeconfig(path, folder, server, user)


def token_kubeconfig(path: Path, folder: Path, token: str, server: str) -> None:
    """Writes a kubeconfig for the holder of a service account's token."""
    _write_kubeconfig(path, folder, server, f"{{token: {token}}}")


def _write_kubeconfig(path: Path, folder: Path, server: str, user: str) -> None:
    cluster = f'{{server: "{server}", certificate-authority-data: {_data(folder / "ca.crt")}}}'
    path.touch(mode=0o600)
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
        f"clusters: [{{name: test, cluster: {cluster}}}]\n"
        f"users: [{{name: test, user: {user}}}]\n"
        "contexts: [{name: test, context: {cluster: test, user: test}}]\n"
    )


def _certificate(
    folder: Path, name: str, subject: str, usage: str = "clientAuth", names: list[str] | None = None
) -> None:
    key, request, certificate = (folder / f"{name}.{end}" for end in ("key", "csr", "crt"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={','.join(names)}\n" if names else ""))
    _key(key)
    _openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
    authority = ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-set_serial", f"0x{secrets.token_hex(8)}"]
    _openssl("x509", "-req", "-in", request, *authority, "-days", "30", "-out", certificate, "-extfile", extensions)


def _key(path: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _openssl(*arguments) -> None:
    subprocess.run([tools.debian("openssl"), *map(str, arguments)], check=True, capture_output=True)
