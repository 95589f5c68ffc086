"""The processes of pods, as the machine sees them: found by the pod's id in their cgroup."""

import os
import signal
from pathlib import Path


def processes_of(pod: dict) -> list[int]:
    """The ids of a pod's processes, without its sandbox's."""
    uid = pod["metadata"]["uid"]
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if uid in (folder / "cgroup").read_text() and (folder / "cmdline").read_bytes() != b"/pause\0":
                found.append(int(folder.name))
        except OSError:
            pass  # It has ended meanwhile.
    return found


def kill(pod: dict) -> bool:
    """Ends a pod's processes as the kernel would; whether there were any."""
    found = processes_of(pod)
    for process in found:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return bool(found)
