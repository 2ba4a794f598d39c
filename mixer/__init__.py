"""The media engine (docs/architecture.md)."""

import os

# One mixer process has one core: BLAS threads would only take time from the other mixers.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
