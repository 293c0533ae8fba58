"""Before NumPy and PyTorch are loaded: libraries that do not fight over the processors, as on the command line."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
