"""``python -m vitreous`` is the ``vitreous`` command."""

import sys

from vitreous.cli import main

if __name__ == "__main__":
    sys.exit(main())
