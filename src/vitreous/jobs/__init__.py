"""A run: folder, checkpoints, resume, outputs, report."""

from vitreous.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
