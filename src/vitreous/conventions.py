"""The only home of a convention: axes, centre, angles, shifts, CTF sign, FFT layout.

Everything here is RELION's; other packages' conventions are converted where their files are read.

Arrays
    Images are ``[image, y, x]``, volumes ``[z, y, x]``; x runs fastest. The centre of a box of n pixels is
    index ``n // 2`` on every axis, for even and odd n.

In-plane pose of a particle with respect to its class average A (``rlnAnglePsi`` psi in degrees,
``rlnOriginXAngst/YAngst`` o in Angstrom), r = (x, y) measured from the centre::

    X(r) = A( R(psi) (r + o) ),    R(psi) = [[cos psi, -sin psi], [sin psi, cos psi]]

so ``+o`` is the shift that, applied to the image, centres it; the particle sits at ``centre - o``. In polar
coordinates (angle measured from +x towards +y) the centred image is ``X(r, theta) = A(r, theta + psi)``, and an
angular harmonic picks up ``exp(+i q psi)``:  ``X_q = A_q exp(i q psi)``.

Three-dimensional pose: Euler angles ZYZ (rot, tilt, psi) in degrees; G = Rz(rot) Ry(tilt) Rz(psi) takes image-frame
coordinates to volume-frame coordinates, an image value is the integral of ``V(G (x, y, z))`` over z, and the viewing
direction is the third column of G. With rot = tilt = 0 this is the in-plane pose above.

Fourier transforms are unnormalised forwards and 1/n backwards (the default of NumPy and PyTorch). Fourier images
use the rfft layout ``(..., n, n // 2 + 1)`` with phases measured from the image centre (``centred_rfft2``): no
fftshift is ever visible outside :mod:`vitreous.fourier`.

CTF: ``+sin(chi + asin(w))``-like: CTF(0) = +w, the first lobe is positive, particles are white (positive) on a
darker background; defocus in Angstrom, positive = underfocus. See :mod:`vitreous.optics`.

Numbering: class numbers and image numbers in files count from 1 (RELION), arrays in memory from 0.

>>> centre_index(64), centre_index(65)
(32, 32)
>>> in_plane_matrix(90.0).round(3).tolist()
[[0.0, -1.0], [1.0, 0.0]]
"""

import numpy as np

__all__ = ["centre_index", "in_plane_matrix"]


def centre_index(n: int) -> int:
    """Index of the image centre on an axis of n pixels (``n // 2``, even and odd n)."""
    return n // 2


def in_plane_matrix(psi_deg: float) -> np.ndarray:
    """R(psi) of the module docstring, (2, 2), acting on column vectors (x, y)."""
    a = np.deg2rad(psi_deg)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
