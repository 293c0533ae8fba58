"""Jobs as Python functions on values: particles, arrays and results in, results out that save and show themselves.

``vitreous.class2d(particles, classes=50)`` does the job ``class2d`` without a folder, by the same preparation and the
same steps; ``result.save(folder)`` writes the folder, and ``vitreous.load(folder)`` reads it.
"""

from vitreous.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
