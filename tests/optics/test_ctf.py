"""The CTF against RELION's formula, an independent implementation, and images made by RELION."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile
import torch
import torch_ctf
from hypothesis import given
from hypothesis import strategies as st

from vitreous.fourier import (
    central_slices,
    centred_irfft2,
    centred_rfft2,
    frequency_xy_rfft2,
    prepare_volume,
    shift_phase,
)
from vitreous.optics import CTFParameters, ctf_1d, ctf_2d, ctf_at, electron_wavelength_A
from vitreous.rotations import euler_to_matrix

GOLDEN = Path(__file__).parents[3] / "shared" / "data" / "conventions"


def parameters(**changes) -> CTFParameters:
    values = {
        "defocus_u_A": 15000.0,
        "defocus_v_A": 14000.0,
        "defocus_angle_deg": 30.0,
        "voltage_kV": 300.0,
        "cs_mm": 2.7,
        "amplitude_contrast": 0.1,
        "phase_shift_deg": 0.0,
        "b_factor_A2": 0.0,
    } | changes
    return CTFParameters(**{name: np.atleast_1d(value) for name, value in values.items()})


def relion_ctf(u, v, angle, kv, cs, q0, phase, x, y):
    """RELION's formula point by point: K1..K5 and gamma, CTF = -sin gamma."""
    volts = kv * 1e3
    lam = 12.2643247 / np.sqrt(volts * (1.0 + volts * 0.978466e-6))
    theta = np.arctan2(y, x)
    defocus = 0.5 * (u + v) + 0.5 * (u - v) * np.cos(2 * (theta - np.deg2rad(angle)))
    k2 = x**2 + y**2
    gamma = -np.pi * lam * defocus * k2 + 0.5 * np.pi * cs * 1e7 * lam**3 * k2**2
    return -np.sin(gamma - np.deg2rad(phase) - np.arctan(q0 / np.sqrt(1 - q0**2)))


optics = st.fixed_dictionaries(
    {
        "u": st.floats(3000, 40000),
        "v": st.floats(3000, 40000),
        "angle": st.floats(-180, 180),
        "kv": st.sampled_from([100.0, 200.0, 300.0]),
        "cs": st.sampled_from([0.01, 2.0, 2.7]),
        "q0": st.floats(0, 0.3),
        "phase": st.floats(0, 180),
    }
)


@given(o=optics, x=st.floats(-0.2, 0.2), y=st.floats(-0.2, 0.2))
def test_relions_formula(o, x, y):
    p = parameters(
        defocus_u_A=o["u"],
        defocus_v_A=o["v"],
        defocus_angle_deg=o["angle"],
        voltage_kV=o["kv"],
        cs_mm=o["cs"],
        amplitude_contrast=o["q0"],
        phase_shift_deg=o["phase"],
    )
    found = ctf_at(p, torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
    assert found.shape == (1,)
    assert found.item() == pytest.approx(relion_ctf(**o, x=x, y=y), abs=1e-8)


@pytest.mark.parametrize(("n", "angle"), [(64, 30.0), (64, -71.0), (65, 120.0)])
def test_an_independent_implementation(n, angle):
    found = ctf_2d(parameters(defocus_angle_deg=angle, phase_shift_deg=20.0), n, 3.0, dtype=torch.float64)[0]
    # in double precision throughout; its physical constants differ from RELION's in the fifth digit
    expected = torch_ctf.calculate_ctf_2d(
        defocus=torch.tensor(1.45, dtype=torch.float64),
        astigmatism=torch.tensor(0.05, dtype=torch.float64),
        astigmatism_angle=angle,
        voltage=300.0,
        spherical_aberration=2.7,
        amplitude_contrast=0.1,
        phase_shift=20.0,
        pixel_size=3.0,
        image_shape=(n, n),
        rfft=True,
        fftshift=False,
    )
    assert (found - expected).abs().max() < 1e-3


def test_sign_and_origin():
    p = parameters()
    ctf = ctf_2d(p, 256, 3.0)[0]
    assert ctf[0, 0].item() == pytest.approx(0.1)
    line = ctf_1d(p, torch.linspace(0, 0.02, 50))[0]
    assert (line > 0).all()


def test_defocus_u_lies_along_its_angle():
    along = ctf_at(parameters(defocus_angle_deg=90.0), torch.tensor(0.0), torch.tensor(0.05))
    isotropic = ctf_1d(parameters(defocus_u_A=15000.0, defocus_v_A=15000.0), torch.tensor([0.05]))
    assert along.item() == pytest.approx(isotropic.item(), abs=1e-5)


def test_ctf_1d_ignores_astigmatism():
    k = torch.linspace(0, 0.2, 40, dtype=torch.float64)
    a = ctf_1d(parameters(), k)
    b = ctf_1d(parameters(defocus_u_A=14500.0, defocus_v_A=14500.0), k)
    assert a.shape == (1, 40)
    assert torch.allclose(a, b)


def test_b_factor_is_an_envelope():
    k = torch.linspace(0, 0.2, 40, dtype=torch.float64)
    damped = ctf_1d(parameters(b_factor_A2=80.0), k)
    assert torch.allclose(damped, ctf_1d(parameters(), k) * torch.exp(-20.0 * k**2))


def test_shapes_broadcast_over_any_set_of_points():
    p = parameters(defocus_u_A=[10000.0, 12000.0, 14000.0], **{
        name: np.full(3, value)
        for name, value in {
            "defocus_v_A": 1e4, "defocus_angle_deg": 5.0, "voltage_kV": 300.0, "cs_mm": 2.7,
            "amplitude_contrast": 0.1, "phase_shift_deg": 0.0, "b_factor_A2": 0.0,
        }.items()
    })  # fmt: skip
    kx, ky = frequency_xy_rfft2(16)
    assert ctf_at(p, kx / 4.0, ky / 4.0).shape == (3, 16, 9)
    assert torch.equal(ctf_2d(p, 16, 4.0)[1:2], ctf_2d(p.take(np.array([1])), 16, 4.0))
    assert ctf_2d(p, 16, 4.0).dtype == torch.float32


def test_wavelengths():
    assert electron_wavelength_A(np.array([100.0, 200.0, 300.0])) == pytest.approx([0.0370, 0.0251, 0.0197], abs=1e-4)


def test_impossible_amplitude_contrast_is_refused():
    with pytest.raises(ValueError, match="amplitude contrast"):
        ctf_2d(parameters(amplitude_contrast=7.0), 8, 1.0)


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.is_dir():
        pytest.skip("the folder shared/data/conventions is not beside the project")
    star = starfile.read(GOLDEN / "poses.star")
    images = {name: torch.from_numpy(mrcfile.read(GOLDEN / f"{name}.mrcs").astype("f8")) for name in ("noctf", "ctf")}
    volume = torch.from_numpy(mrcfile.read(GOLDEN / "map_64_5A.mrc").astype("f8"))
    return star["optics"].iloc[0], star["particles"], volume, images


def agreement(found: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    """(worst correlation over images, least-squares scale)."""
    a, b = (x - x.mean((-2, -1), keepdim=True) for x in (found, expected))
    correlation = (a * b).sum((-2, -1)) / torch.sqrt((a * a).sum((-2, -1)) * (b * b).sum((-2, -1)))
    return correlation.min().item(), ((a * b).sum() / (a * a).sum()).item()


@pytest.mark.data
def test_projections_and_ctf_are_relions(golden):
    optics_row, particles, volume, images = golden
    n, pixel = volume.shape[-1], optics_row.rlnImagePixelSize
    matrices = euler_to_matrix(torch.from_numpy(particles[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()))
    origin = torch.from_numpy(particles[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()) / pixel
    ft = central_slices(prepare_volume(volume), matrices, n) * shift_phase(-origin, n)
    correlation, scale = agreement(centred_irfft2(ft, n), images["noctf"])
    assert correlation > 0.9999
    assert scale == pytest.approx(1.0, abs=2e-3)

    count = len(particles)
    params = CTFParameters(
        defocus_u_A=particles.rlnDefocusU.to_numpy(),
        defocus_v_A=particles.rlnDefocusV.to_numpy(),
        defocus_angle_deg=particles.rlnDefocusAngle.to_numpy(),
        voltage_kV=np.full(count, optics_row.rlnVoltage),
        cs_mm=np.full(count, optics_row.rlnSphericalAberration),
        amplitude_contrast=np.full(count, optics_row.rlnAmplitudeContrast),
        phase_shift_deg=particles.rlnPhaseShift.to_numpy(),
        b_factor_A2=np.zeros(count),
    )
    ctf = ctf_2d(params, n, pixel, dtype=torch.float64)
    correlation, scale = agreement(centred_irfft2(ft * ctf, n), images["ctf"])
    assert correlation > 0.9999
    assert scale == pytest.approx(1.0, abs=2e-3)

    correlation, scale = agreement(centred_irfft2(centred_rfft2(images["noctf"]) * ctf, n), images["ctf"])
    assert correlation > 1 - 1e-9
    assert scale == pytest.approx(1.0, abs=1e-5)
