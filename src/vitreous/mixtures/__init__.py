"""Densities as mixtures of Gaussians: the model and its files, EM, Gibbs and Hamiltonian sampling, initial models."""

from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.counts import Counts, count_images, count_map
from vitreous.mixtures.em import (
    Expected,
    Fit,
    GridData,
    em_step,
    expect_grid,
    expect_points,
    fit_grid,
    fit_points,
    grid_data,
)
from vitreous.mixtures.files import read_pseudo_atoms, to_volume, write_map, write_pseudo_atoms
from vitreous.mixtures.fit_map import FitState, MixtureFit, fit_map_algorithm, prepare_map
from vitreous.mixtures.gaussian import (
    GaussianInitialModel,
    GaussianNoisePrior,
    GaussianState,
    NoisyImages,
    NoisyMixture,
    gaussian_initial_model,
    gaussian_initial_model_algorithm,
)
from vitreous.mixtures.gibbs_points import assign_image, assign_map, assign_points, points_step
from vitreous.mixtures.gibbs_projections import Moves, PosedMixture, log_posterior, projection_step
from vitreous.mixtures.global_rotations import draw_rotations_globally
from vitreous.mixtures.initial import (
    Agreement,
    Conformation,
    InitialModel,
    InitialModelResult,
    compare_poses,
    initial_model,
    initial_model_algorithm,
)
from vitreous.mixtures.model import (
    Mixture,
    evaluate,
    log_density,
    mirror,
    project,
    rotate,
    sample_points,
    symmetrise,
    translate,
)
from vitreous.mixtures.priors import MixturePrior, log_prior, sample_prior

__all__ = [
    "Agreement",
    "Conformation",
    "Counts",
    "Expected",
    "Fit",
    "FitState",
    "GaussianInitialModel",
    "GaussianNoisePrior",
    "GaussianState",
    "GridData",
    "InitialModel",
    "InitialModelResult",
    "Mixture",
    "MixtureFit",
    "MixturePrior",
    "Moves",
    "NoisyImages",
    "NoisyMixture",
    "PosedMixture",
    "PosedMixtures",
    "assign_image",
    "assign_map",
    "assign_points",
    "compare_poses",
    "count_images",
    "count_map",
    "draw_rotations_globally",
    "em_step",
    "evaluate",
    "expect_grid",
    "expect_points",
    "fit_grid",
    "fit_map_algorithm",
    "fit_points",
    "gaussian_initial_model",
    "gaussian_initial_model_algorithm",
    "grid_data",
    "initial_model",
    "initial_model_algorithm",
    "log_density",
    "log_posterior",
    "log_prior",
    "mirror",
    "points_step",
    "prepare_map",
    "project",
    "projection_step",
    "read_pseudo_atoms",
    "rotate",
    "sample_points",
    "sample_prior",
    "symmetrise",
    "to_volume",
    "translate",
    "write_map",
    "write_pseudo_atoms",
]
