"""A scenario is a value: a name, the property that it pins down, a time within which it has to hold, and a function."""

import contextlib
import dataclasses
import signal
import sys
import time
import traceback
from collections.abc import Callable

from . import tools


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`run` is given what its tier offers, and raises where the property does not hold."""

    name: str
    property: str
    timeout: int
    run: Callable
    slow: bool = False


def scenario(timeout: int, slow: bool = False):
    """Makes a function a scenario: its name with spaces, its docstring the property. Slow ones run with `--slow` only."""

    def make(function: Callable) -> Scenario:
        return Scenario(
            function.__name__.replace("_", " "), " ".join(function.__doc__.split()), timeout, function, slow
        )

    return make


def of(module) -> list[Scenario]:
    """The scenarios of a module, in its order."""
    return [value for value in vars(module).values() if isinstance(value, Scenario)]


class Late(BaseException):
    """A scenario's time is up. Not an `Exception`: whoever waits for something catches those and goes on waiting."""


@dataclasses.dataclass
class Outcome:
    """What became of scenarios: those that failed, and those that this machine could not play, with the reason."""

    failed: list[Scenario] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)


def play(scenarios: list[Scenario], trial: Callable, outcome: Outcome) -> None:
    """Plays scenarios one after the other, each in a context of its own made by `trial(scenario)`."""
    for scene in scenarios:
        start = time.monotonic()
        print(f"--- {scene.name}: {scene.property}", flush=True)
        context = trial(scene)
        try:
            with _limit(scene.timeout), context as given:
                try:
                    scene.run(given)
                except BaseException:
                    with contextlib.suppress(Exception):
                        given.describe()
                    raise
            verdict = "ok"
        except tools.Missing as missing:
            outcome.left_out.append(f"{scene.name}: {missing}")
            verdict = "left out"
        except (Exception, Late):
            traceback.print_exc()
            outcome.failed.append(scene)
            verdict = "FAILED"
        print(f"--- {scene.name}: {verdict}, {time.monotonic() - start:.1f} s", flush=True)
        sys.stderr.flush()


@contextlib.contextmanager
def _limit(seconds: int):
    def late(*_):
        raise Late(f"not within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
