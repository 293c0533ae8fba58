"""A small, made-up but complete classification, and a particle file to go with it."""

from pathlib import Path

import numpy as np

from vitreous.averages.result import Class2DResult
from vitreous.jobs.folder import open_job
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.results.class2d import Examples, write_examples
from vitreous.jobs.results.class2d_relion import SearchSettings, write_final
from vitreous.particles import ParticleSet, Table, read_particles, write_mrc_stack, write_star

BOX, PIXEL, CLASSES, PARTICLES = 32, 4.0, 5, 60
SEARCH = SearchSettings(
    iterations=3, seed=1, regularisation=2.0, psi_step_deg=6.0, offset_range_A=20.0, offset_step_A=4.0
)


def made_up_particles(folder: Path) -> ParticleSet:
    """60 particles of noise with an odd column, two optics groups and a name that needs quotes."""
    rng = np.random.default_rng(1)
    write_mrc_stack(folder / "stack.mrcs", rng.standard_normal((PARTICLES, BOX, BOX)).astype(np.float32), PIXEL)
    optics = {
        "rlnOpticsGroup": [1, 2],
        "rlnOpticsGroupName": ["first", "second one"],
        "rlnVoltage": [300.0, 300.0],
        "rlnSphericalAberration": [2.7, 2.7],
        "rlnAmplitudeContrast": [0.1, 0.1],
        "rlnImagePixelSize": [PIXEL, PIXEL],
        "rlnImageSize": [BOX, BOX],
        "rlnImageDimensionality": [2, 2],
    }
    columns = {
        "rlnImageName": [f"{i + 1:06d}@stack.mrcs" for i in range(PARTICLES)],
        "rlnMicrographName": [f"mic {i // 20}.mrc" for i in range(PARTICLES)],
        "rlnOpticsGroup": [1 + i % 2 for i in range(PARTICLES)],
        "rlnDefocusU": np.linspace(8000.0, 25000.0, PARTICLES),
        "rlnDefocusV": np.linspace(8100.0, 25100.0, PARTICLES),
        "rlnDefocusAngle": np.zeros(PARTICLES),
        "rlnClassNumber": np.full(PARTICLES, 77),
        "myOwnColumn": [f"note-{i}" for i in range(PARTICLES)],
    }
    path = folder / "particles.star"
    write_star(path, {"optics": Table.from_arrays(optics), "particles": Table.from_arrays(columns)})
    return read_particles(path)


def made_up_history() -> list[dict]:
    """Three iterations."""
    return [
        {
            "iteration": i,
            "log_likelihood": -5000.0 + 900 * i,
            "changed_fraction": 0.9 / i,
            "resolution_A": 60.0 / i,
            "populations": [0.4 + 0.01 * i, 0.3, 0.2, 0.1, 0.0],
            "seconds": 0.5,
        }
        for i in (1, 2, 3)
    ]


def made_up_result(*, found_signal: bool = True) -> Class2DResult:
    """Five classes: three good ones of falling size, one without resolution, one empty; two particles refused."""
    rng = np.random.default_rng(2)
    shells = BOX // 2 + 1
    number = np.repeat([0, 1, 2, 3, 4], [2, 30, 14, 9, 5])
    population = np.bincount(number, minlength=CLASSES + 1)[1:]
    frc = np.exp(-(np.arange(shells) ** 2) / np.array([90, 60, 40, 1, 1])[:, None])
    resolution = np.array([18.3, 12.8, 25.6, np.inf, np.inf])
    return Class2DResult(
        pixel_size_A=PIXEL,
        particle_diameter_A=100.0,
        averages=rng.standard_normal((CLASSES, BOX, BOX)).astype(np.float32),
        averages_half=rng.standard_normal((2, CLASSES, BOX, BOX)).astype(np.float32),
        frc=frc,
        ssnr=2 * frc / (1 - np.minimum(frc, 0.999)),
        resolution_A=resolution if found_signal else np.full(CLASSES, np.inf),
        population=population,
        distribution=population / population.sum(),
        effective_number=population * 0.8,
        class_number=number,
        psi_deg=rng.uniform(-180, 180, PARTICLES),
        origin_x_A=rng.normal(0, 5, PARTICLES),
        origin_y_A=rng.normal(0, 5, PARTICLES),
        weight=(number > 0).astype(float),
        max_probability=rng.uniform(0, 1, PARTICLES),
        entropy=rng.uniform(0, 1, PARTICLES),
        effective_classes=np.exp(rng.uniform(0, 1, PARTICLES)),
        significant=rng.integers(1, 40, PARTICLES),
        log_likelihood=rng.normal(-800, 10, PARTICLES),
        noise_power=np.ones((2, shells)),
        noise_group=np.arange(PARTICLES) % 2,
        found_signal=found_signal,
        messages=["two particles were <refused>"],
    )


def made_up_job(tmp_path: Path, *, found_signal: bool = True) -> Path:
    """A finished job folder with every optional file."""
    folder, particles = tmp_path / "job", made_up_particles(tmp_path)
    result = made_up_result(found_signal=found_signal)
    manifest = new_manifest("class2d", {"classes": CLASSES, "psi_step_deg": None}, seed=1, inputs=["particles.star"])
    with open_job(folder, manifest, command="vitreous class2d particles.star -o job") as job:
        for entry in made_up_history():
            job.record(entry)
        write_final(folder, result, particles, search=SEARCH)
        images = np.random.default_rng(3).standard_normal((4, BOX, BOX))
        chosen = Examples(images=images, class_number=np.array([1, 1, 2, 2]), particle=np.array([5, 6, 40, 41]))
        write_examples(folder, chosen)
        job.describe(summary={"particles": PARTICLES}, messages=tuple(result.messages))
    return folder
