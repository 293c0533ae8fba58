"""A map as a value: density on a grid, where the grid lies, and the symmetry that the density has."""

from dataclasses import dataclass, replace

import numpy as np

from vitreous.conventions import centre_index
from vitreous.pictures import Shown, map_pictures, shown
from vitreous.rotations import symmetry_matrices

__all__ = ["Volume"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Volume:
    """A map on a grid: ``data`` float32 [z, y, x], ``pixel_size_A`` its spacing on all three axes.

    ``origin_A`` is where the centre of the first voxel lies (x, y, z), in the sense of ORIGIN in MRC files: programs
    that show several maps together put them there. RELION writes zeros whatever the box; so do we, unless a map was
    cut out of or resampled from another one. ``symmetry`` is the name of a point group
    (:func:`vitreous.rotations.symmetry_matrices`) with its axes through the centre of the box; files do not keep it.

    Raises ValueError for another number of axes, and for a pixel size, origin or symmetry that is none.
    """

    data: np.ndarray
    pixel_size_A: float
    origin_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    symmetry: str = "C1"

    def __post_init__(self) -> None:
        data = np.asarray(self.data, dtype=np.float32)
        if data.ndim != 3 or data.size == 0:
            raise ValueError(f"Volume.data: expected three dimensions, found shape {data.shape}")
        if not (np.isfinite(self.pixel_size_A) and self.pixel_size_A > 0):
            raise ValueError(f"Volume.pixel_size_A: expected a positive number, found {self.pixel_size_A}")
        origin = tuple(float(value) for value in self.origin_A)
        if len(origin) != 3 or not np.isfinite(origin).all():
            raise ValueError(f"Volume.origin_A: expected three finite numbers (x, y, z), found {self.origin_A}")
        if self.symmetry != "C1":
            symmetry_matrices(self.symmetry)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "origin_A", origin)

    @property
    def box_px(self) -> int:
        """Side of a cubic map. Raises ValueError for another shape."""
        nz, ny, nx = self.data.shape
        if not nz == ny == nx:
            raise ValueError(
                f"expected a cubic map, found {nx} x {ny} x {nz} voxels (x, y, z); cut or pad it to a cube"
            )
        return nx

    @property
    def centre_A(self) -> tuple[float, float, float]:
        """Where voxel n // 2 of every axis lies, (x, y, z), in the frame of ``origin_A``."""
        return self._shifted(self.data.shape, self.pixel_size_A, 1.0, self.origin_A)

    def with_data(self, data: np.ndarray, *, pixel_size_A: float | None = None) -> "Volume":
        """Other density about the same centre, perhaps on another grid: the origin follows, the symmetry stays."""
        pixel = self.pixel_size_A if pixel_size_A is None else pixel_size_A
        unmoved = np.shape(data) == self.data.shape and pixel == self.pixel_size_A
        origin = self.origin_A if unmoved else self._shifted(np.shape(data), pixel, -1.0, self.centre_A)
        return replace(self, data=data, pixel_size_A=pixel, origin_A=origin)

    def show(self) -> Shown:
        """The three slices through the centre and the projections on the same planes; a notebook shows them."""
        captions = ("slices xy, xz, yz", "projections")
        return shown(repr(self), map_pictures(self.data), captions, fade=False)

    def __repr__(self) -> str:
        nz, ny, nx = self.data.shape
        symmetry = "" if self.symmetry == "C1" else f", symmetry {self.symmetry}"
        return f"Volume of {nx} x {ny} x {nz} voxels of {self.pixel_size_A:g} A{symmetry}"

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    @staticmethod
    def _shifted(
        shape: tuple[int, ...], pixel_size_A: float, sign: float, point_A: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        x, y, z = (p + sign * centre_index(n) * pixel_size_A for p, n in zip(point_A, shape[::-1], strict=True))
        return x, y, z
