"""Traces of samplers as ArviZ takes them; ArviZ is imported when they are asked for."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vitreous.face.result import Result

__all__ = ["inference_data", "traces"]


def traces(result: "Result[Any]") -> dict[str, np.ndarray]:
    """Quantities of the last chain by name, each (draws,) or (draws, places): log posterior, size of the Gaussians.

    Of ``initial`` (its samplers) they are those of the refinement, one for each block of steps; of ``mixture`` with
    Gibbs sampling those of every step, with log densities at eight places. Raises TypeError for what has no chain.
    """
    history = result.history
    sampling = [info for info in history if info.get("stage") == "sampling" and "log_posteriors" in info]
    if sampling:
        names = {"log_posterior": "log_posteriors", "sigma_A": "sigmas_A", "log_density": "log_densities"}
        return {
            name: np.concatenate([np.asarray(info[key], float) for info in sampling]) for name, key in names.items()
        }
    given = result.settings if isinstance(result.settings, dict) else vars(result.settings)
    last = [info for info in history if info.get("stage") == "refinement"] or history
    last = last[-int(given.get("samples", len(last))) :]  # what is before them is burn-in
    single = ("log_posterior", "sigma_A")
    found = {name: np.array([info[name] for info in last], float) for name in single if all(name in i for i in last)}
    if not found or not last:
        raise TypeError(f"the result of {result.task} has no chain: its method does not sample, or keeps no traces")
    return found


def inference_data(result: "Result[Any]") -> Any:
    """:func:`traces` in the group posterior, as two chains: the halves of the one that there is.

    So R-hat compares the halves, as the report does. Of an odd number of draws the first is left out. Raises
    ImportError without ArviZ.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError("to_arviz needs ArviZ: pip install 'vitreous[plots]'") from error
    posterior = {name: _halved(values) for name, values in traces(result).items()}
    if int(arviz.__version__.partition(".")[0]) >= 1:  # the groups in one dictionary
        return arviz.from_dict({"posterior": posterior})
    return arviz.from_dict(posterior=posterior)


def _halved(values: np.ndarray) -> np.ndarray:
    """(draws, ...) as (2, draws // 2, ...)."""
    half = len(values) // 2
    return values[len(values) - 2 * half :].reshape(2, half, *values.shape[1:])
