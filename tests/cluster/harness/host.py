"""The processes of pods, as the machine sees them: found by the pod's id in their cgroup."""

import os
import signal
from pathlib import Path


def processes_of(pod: dict, program: str) -> list[int]:
    """The ids of a pod's processes that run a program; what comes before it, the sandbox and runc's own, is not meant."""
    uid = pod["metadata"]["uid"]
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if uid in (folder / "cgroup").read_text() and (folder / "exe").readlink().name == program:
                found.append(int(folder.name))
        except OSError:
            pass  # It has ended meanwhile.
    return found


def kill(pod: dict, program: str) -> bool:
    """Ends a pod's processes of a program as the kernel would; whether there were any."""
    found = processes_of(pod, program)
    for process in found:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(found)
