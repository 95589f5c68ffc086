"""Many jobs at once. The workers of equal jobs run once, and end in the same way after that: the cluster is what is measured."""

import os
import time

from harness.processes import until
from harness.scenario import scenario
from harness.trial import JOBS

# The targets: what a job may cost the API server besides its pods, and the operator's memory.
WRITES_PER_JOB = 12
MEMORY = 128 << 20


@scenario(timeout=300)
def fifty_jobs_at_once(trial):
    """Fifty jobs end well, within the bounds on API writes and memory."""
    many(trial, 50)


@scenario(timeout=900, slow=True)
def two_hundred_jobs_at_once(trial):
    """Two hundred jobs end well, within the bounds on API writes and memory."""
    many(trial, 200)


@scenario(timeout=3600, slow=True)
def thousands_of_jobs_at_once(trial):
    """Five thousand jobs, or as many as PROOFMILL_TEST_JOBS says, end well, within the bounds on API writes and memory."""
    many(trial, int(os.environ.get("PROOFMILL_TEST_JOBS", "5000")))


def many(trial, count: int) -> None:
    """Submits jobs and waits for all; prints what they cost."""
    trial.kubelet.remembered = {}
    operator = trial.operator().start()
    trial.submit("first")
    trial.wait("first")
    before, read = operator.writes(), operator.reads()
    memory = operator.memory()
    start = time.monotonic()
    for number in range(count):
        trial.submit(f"job-{number}")
    submitted = time.monotonic() - start
    peak = memory

    def all_ended() -> bool:
        nonlocal peak
        peak = max(peak, operator.memory())
        jobs = trial.api.items(JOBS.format(trial.namespace))
        phases = [job.get("status", {}).get("phase") for job in jobs]
        assert "Failed" not in phases
        return phases.count("Succeeded") == count + 1

    until(3000, "the end of all jobs", all_ended, every=2)
    seconds = time.monotonic() - start
    writes = (operator.writes() - before) / count
    reads = (operator.reads() - read) / count
    of_hundred = {
        name: operator.quantile(f"proofjob_operator_{name}_seconds", 0.99)
        for name in ("reconcile_duration", "reconcile_queue", "event_to_status", "apiserver_request_duration")
    }
    print(
        f"{count} jobs: submitted in {submitted:.1f} s, ended after {seconds:.1f} s; {writes:.1f} API writes and {reads:.1f}"
        f" reads a job; operator {peak / 2**20:.0f} MiB; 99 of a hundred at most {of_hundred} s"
    )
    assert writes <= WRITES_PER_JOB, writes
    assert peak <= MEMORY, peak
