"""Processes that are started by one command and ended by another: their ids live in a folder."""

import os
import signal
import subprocess
import time
from pathlib import Path


def start(folder: Path, name: str, *command, env: dict | None = None) -> int:
    """Starts a program that outlives this one: its output goes to FOLDER/logs/NAME.log, its id to FOLDER/pids/NAME."""
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "pids").mkdir(exist_ok=True)
    with open(folder / f"logs/{name}.log", "ab") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
    (folder / f"pids/{name}").write_text(f"{process.pid} {_born(process.pid)}")
    return process.pid


def pid(folder: Path, name: str) -> int | None:
    """The id of a process that `start` started and that still lives; ids are reused, so the time of birth has to agree."""
    try:
        number, born = (folder / f"pids/{name}").read_text().split()
    except OSError:
        return None
    return int(number) if _born(int(number)) == born else None


def kill(folder: Path, name: str, sig: int = signal.SIGKILL) -> None:
    """Ends a process that `start` started, and waits until it is gone."""
    number = pid(folder, name)
    if number is not None:
        os.kill(number, sig)
        until(30, f"the end of {name}", lambda: pid(folder, name) is None)
    (folder / f"pids/{name}").unlink(missing_ok=True)


def until(seconds: float, what: str, condition, every: float = 0.1):
    """Waits for a true value and returns it; an error counts as false until time is up, but for a failed assertion."""
    end = time.monotonic() + seconds
    error = None
    while True:
        try:
            value, error = condition(), None
            if value:
                return value
        except AssertionError:
            raise
        except Exception as caught:
            error = caught
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s" + (f" ({error})" if error else "")) from error
        time.sleep(every)


def _born(number: int) -> str:
    """A process's start time in clock ticks; empty for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    if fields[0] == "Z":
        try:
            os.waitpid(number, os.WNOHANG)
        except ChildProcessError:
            pass
        return ""
    return fields[19]
