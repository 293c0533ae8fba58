"""Single-particle cryo-EM: from noisy particle images to a refined map.

>>> import vitreous as vt
>>> settings = vt.Class2D(classes=100, particle_diameter_A=300.0)

From there ``vt.class2d(vt.read_particles("particles.star"), settings)`` returns class averages and poses as arrays,
and ``vt.run_class2d("particles.star", "out", settings)`` makes a folder with files for RELION and a report.
Names are imported when they are first used: ``import vitreous`` itself is cheap.
"""

from vitreous.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
