"""The ``vitreous`` command: one thin command per job, no science."""

from vitreous.cli.app import main

__all__ = ["main"]
