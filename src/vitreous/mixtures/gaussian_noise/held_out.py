"""Views that a mixture has not seen, predicted by a short chain of the refinement: what the choice of K rests on."""

from dataclasses import replace

import numpy as np

from vitreous.mixtures.choose_components import MIDDLE, log_predictive_of_views
from vitreous.mixtures.gaussian_noise.conditionals import overlaps
from vitreous.mixtures.gaussian_noise.forward import projections
from vitreous.mixtures.gaussian_noise.model import NoisyImages, NoisyMixture
from vitreous.mixtures.gaussian_noise.moves import Sampler, redraw_image_parameters
from vitreous.mixtures.gaussian_noise.noisy_stages import Chain, first_steps, refined_start, sweep
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.model import Mixture
from vitreous.randomness import generator

__all__ = ["predict_views", "settled_poses"]

_SETTLING = 30
_BURN_IN, _SAMPLES, _BETWEEN = 25, 5, 2


def settled_poses(sampler: Sampler, chain: Chain, settings: GaussianInitialModel) -> Chain:
    """What the initial stage has found, after a short refinement of all images with a number of components in between.

    Otherwise errors of the poses would decide, which small components correct more slowly than large ones.
    """
    rng = generator(settings.seed, "settling of poses")
    chain = refined_start(chain, sampler, settings, MIDDLE)
    for _ in range(_SETTLING):
        chain, _ = sweep(sampler, chain, rng, target=settings.acceptance)
    return chain


def predict_views(
    sampler: Sampler, chain: Chain, settings: GaussianInitialModel, *, components: int, held_out: np.ndarray
) -> np.ndarray:
    """Log predictive (v,) of the images ``held_out`` (bool) from the others, with this number of components.

    ``chain`` is from :func:`settled_poses`. A held-out pose follows the mixture, sweep by sweep.
    """
    start = refined_start(chain, sampler, settings, components)
    train, test = (replace(sampler, data=_images(sampler.data, part), threads=1) for part in (~held_out, held_out))
    known, unseen = _part(start, ~held_out), _part(start, held_out)
    rng = generator(settings.seed, "choice of components", components)
    predicted = np.zeros(test.data.images.shape)
    for step in range(_BURN_IN + _SAMPLES * _BETWEEN):
        known, _ = sweep(train, known, rng, target=settings.acceptance)
        unseen = replace(unseen, model=_explained(test, unseen.model, known.model.posed.mixture, rng))
        unseen, _ = sweep(test, unseen, rng, mixture=False, target=settings.acceptance)
        if step >= _BURN_IN and (step - _BURN_IN) % _BETWEEN == _BETWEEN - 1:
            predicted += projections(test.data, unseen.model.posed, test.group)
    return log_predictive_of_views(test.data.images, predicted / _SAMPLES)


def _explained(sampler: Sampler, model: NoisyMixture, mixture: Mixture, rng: np.random.Generator) -> NoisyMixture:
    """The images' own parameters for another mixture."""
    model = replace(model, posed=replace(model.posed, mixture=mixture))
    sums = overlaps(sampler.data.images, projections(sampler.data, model.posed, sampler.group))
    return redraw_image_parameters(sampler, model, sums, rng)


def _images(data: NoisyImages, part: np.ndarray) -> NoisyImages:
    ctf = None if data.ctf is None else data.ctf[part]
    return NoisyImages(images=data.images[part], pixel_size_A=data.pixel_size_A, ctf=ctf)


def _part(chain: Chain, part: np.ndarray) -> Chain:
    """Some of the images, with steps to begin an adaptation with."""
    model, posed = chain.model, chain.model.posed
    return Chain(
        model=NoisyMixture(
            posed=PosedMixture(mixture=posed.mixture, rotations=posed.rotations[part], offsets_A=posed.offsets_A[part]),
            scales=model.scales[part],
            backgrounds=model.backgrounds[part],
            noise_precisions=model.noise_precisions[part],
        ),
        steps=first_steps(int(part.sum())),
    )
