"""Settings of the two ways to fit a mixture."""

from dataclasses import dataclass

from vitreous.require import require, require_at_least, require_finite, require_not_negative

__all__ = ["MixtureFit", "MixtureSampling"]


@dataclass(frozen=True, kw_only=True)
class MixtureFit:
    """Settings of :func:`vitreous.mixtures.fit_algorithm`: the maximum of the posterior.

    Parameters
    ----------
    components
        Number of Gaussians.
    threshold
        Density below this is set to zero, in the units of the map.
    steps
        Most EM steps.
    tolerance
        The fit ends when a step raises the log posterior by less than this per count.
    counts
        How many independent points a map or image is taken to be worth. Points count for themselves.
    box_px
        Larger maps are brought to this many voxels along their longest axis before the fit.
    seed
        Of everything random.
    """

    components: int = 500
    threshold: float = 0.0
    steps: int = 500
    tolerance: float = 1e-5
    counts: float = 1e6
    box_px: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"components": 1, "steps": 1, "box_px": 4})
        _require_shared(self)
        require_not_negative(self, ("tolerance",))


@dataclass(frozen=True, kw_only=True)
class MixtureSampling:
    """Settings of :func:`vitreous.mixtures.sampling_algorithm`: samples of the posterior.

    Parameters
    ----------
    components
        Number of Gaussians.
    threshold
        Density below this is set to zero, in the units of the map.
    start_steps
        EM steps before the chain. 0: the chain starts at a mixture drawn from the prior.
    burn_in_steps
        Gibbs steps before the first sample.
    samples
        Samples of the posterior mean and variance.
    steps_between
        Gibbs steps from one sample to the next.
    counts
        How many independent points a map or image is taken to be worth. Points count for themselves.
    box_px
        Larger maps are brought to this many voxels along their longest axis before the fit.
    seed
        Of everything random.
    """

    components: int = 500
    threshold: float = 0.0
    start_steps: int = 50
    burn_in_steps: int = 500
    samples: int = 100
    steps_between: int = 20
    counts: float = 1e5
    box_px: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        low = {"components": 1, "start_steps": 0, "burn_in_steps": 0, "samples": 1, "steps_between": 1, "box_px": 4}
        require_at_least(self, low)
        _require_shared(self)


def _require_shared(settings: MixtureFit | MixtureSampling) -> None:
    require(settings, "counts", 1 <= settings.counts <= 1e9, "a number from 1 to 1e9")
    require_not_negative(settings, ("threshold",))
