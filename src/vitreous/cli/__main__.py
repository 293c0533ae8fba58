"""``python -m vitreous.cli`` is the ``vitreous`` command."""

import sys

from vitreous.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
