"""A real Kubernetes on one machine, and a kubelet that follows a script: Python's standard library only."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "images"))
