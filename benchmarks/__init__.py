"""Measurements: every figure in ``docs/performance.md`` comes from here. See ``python -m benchmarks --help``."""

import os

# As on the command line; before NumPy and PyTorch are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
