"""A way into a network namespace: listens here, connects there.

A socket belongs to the namespace that it was made in. One process can hold both ends: it makes its listener, then moves
into the namespace of another process and makes the rest there.
"""

import ctypes
import os
import socket
import sys
import threading

CLONE_NEWNET = 0x40000000


def serve(pid: int, port: int, address: str, target: int) -> None:
    """Relays 127.0.0.1:PORT to ADDRESS:TARGET as process PID sees it. Does not return."""
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    while True:
        near, _ = listener.accept()
        threading.Thread(target=_connect, args=(near, address, target), daemon=True).start()


def _connect(near: socket.socket, address: str, target: int) -> None:
    with near:
        try:
            far = socket.create_connection((address, target), timeout=5)
        except OSError:
            return
        with far:
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
