"""`python -m da_bench` is `da-bench`."""

import sys

from da_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
