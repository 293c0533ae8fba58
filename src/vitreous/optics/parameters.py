"""The numbers that describe the microscope for every particle."""

from dataclasses import dataclass, field, fields

import numpy as np

from vitreous.words import brief

__all__ = ["CTFParameters"]


@dataclass(frozen=True, kw_only=True)
class CTFParameters:
    """Contrast-transfer parameters of n particles; every field is a float64 array of shape (n,).

    The last two fields say what has been done to the images since they were recorded: 1 where their phases were
    flipped (their transfer function is ``|CTF|``), 1 where they were multiplied by their CTF (an image C X, its signal
    C^2 S and its noise C N). Left out, both are 0.
    """

    __repr__ = brief

    defocus_u_A: np.ndarray  # underfocus positive
    defocus_v_A: np.ndarray
    defocus_angle_deg: np.ndarray  # direction of defocus_u, from +x towards +y
    voltage_kV: np.ndarray
    cs_mm: np.ndarray
    amplitude_contrast: np.ndarray  # fraction, 0..1
    phase_shift_deg: np.ndarray
    b_factor_A2: np.ndarray  # envelope exp(-B k^2 / 4)
    phase_flipped: np.ndarray = field(default_factory=lambda: np.zeros(0))
    premultiplied: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        shape = np.shape(self.defocus_u_A)
        for f in fields(self):
            value = np.asarray(getattr(self, f.name), dtype=np.float64)
            if f.name in ("phase_flipped", "premultiplied") and value.size == 0:
                value = np.zeros(shape)
            if value.ndim != 1 or value.shape != shape:
                raise ValueError(f"CTFParameters.{f.name}: expected shape {shape}, found {value.shape}")
            object.__setattr__(self, f.name, value)

    def __len__(self) -> int:
        return len(self.defocus_u_A)

    def take(self, index: np.ndarray) -> "CTFParameters":
        """The parameters of the particles in ``index`` (integers or a boolean mask)."""
        return CTFParameters(**{f.name: getattr(self, f.name)[index] for f in fields(self)})
