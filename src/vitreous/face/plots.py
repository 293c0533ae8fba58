"""Figures of results, by Matplotlib, which is imported when one is asked for."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vitreous.face.result import Result

__all__ = ["convergence_figure", "frc_figure"]

MOST_CURVES = 12
TOLD = (  # what steps say that tells how a method converges, in this order
    "log_likelihood",
    "log_posterior",
    "score",
    "resolution_A",
    "changed_fraction",
    "turned_deg",
    "mean_max_probability",
    "effective_classes",
    "sigma_A",
)
MOST_SERIES = 5
THRESHOLD = 0.143
NO_CURVES = ("iteration", "seconds", "start", "run", "pass")


def frc_figure(result: "Result[Any]") -> Any:
    """Fourier ring or shell correlation of the halves by spatial frequency; of many classes, of the largest ones.

    Raises ImportError without Matplotlib, and TypeError for a result without halves.
    """
    frequency, curves = _correlations(result)
    figure, axes = _axes()
    shown = list(curves.items())[:MOST_CURVES]
    for i, (name, curve) in enumerate(shown):
        shade = 0.85 * i / max(len(shown) - 1, 1)  # of a scale that is told apart without colours, too
        axes.plot(frequency, curve, label=name, linewidth=1.2, color=_shade(shade))
    axes.axhline(THRESHOLD, color="0.5", linewidth=0.8, linestyle="--")
    axes.set(xlabel="spatial frequency (1/Å)", ylabel="correlation of the halves", ylim=(-0.1, 1.05))
    if len(curves) > 1:
        axes.legend(fontsize="small", ncols=2)
    return figure


def convergence_figure(result: "Result[Any]") -> Any:
    """What the steps have said of how the method converges, one quantity below the other.

    Raises ImportError without Matplotlib, and TypeError where no step has said anything.
    """
    history = result.history
    names = [name for name in dict.fromkeys(k for info in history for k in info) if name not in NO_CURVES]
    series = {name: np.array([_number(info.get(name)) for info in history]) for name in names}
    series = {name: values for name, values in series.items() if len(np.unique(values[np.isfinite(values)])) > 1}
    if not series:
        raise TypeError(f"the steps of {result.task} have said nothing that changes")
    told = [name for name in TOLD if name in series] or list(series)
    series = {name: series[name] for name in told[:MOST_SERIES]}
    figure, axes = _axes(rows=len(series))
    steps = np.arange(1, len(history) + 1)
    for one, (name, values) in zip(np.atleast_1d(axes), series.items(), strict=True):
        one.plot(steps, values, marker=".", linewidth=1.0)
        one.set(ylabel=name.replace("_A", " (Å)").replace("_deg", " (°)").replace("_", " "))
    np.atleast_1d(axes)[-1].set(xlabel="step")
    return figure


def _correlations(result: "Result[Any]") -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Frequencies (F,) in 1/A, and curves (F,) by name."""
    if result.task in ("refine", "postprocess"):
        stem = "refined" if result.task == "refine" else "postprocess"
        table = result.table(f"{stem}_fsc/fsc")
        words = {"UnmaskedMaps": "without a mask", "Corrected": "in the mask, corrected"}
        curves = {words[key]: table.numbers(f"rlnFourierShellCorrelation{key}") for key in words}
        return table.numbers("rlnResolution"), curves
    found = getattr(result.value, "frc", getattr(result.value, "fsc", None))
    if found is None:
        raise TypeError(f"the result of {result.task} has no halves that could be compared")
    frc = np.atleast_2d(np.asarray(found))
    pictures = getattr(result.value, "averages", None)
    pixel = getattr(result.value, "pixel_size_A", None) or next(iter(result.maps.values())).pixel_size_A
    box = 2 * (frc.shape[1] - 1) if pictures is None else pictures.shape[-1]
    names = ["halves"] if len(frc) == 1 else [f"{k}" for k in range(1, len(frc) + 1)]
    return np.arange(frc.shape[1]) / (box * pixel), dict(zip(names, frc, strict=True))


def _shade(value: float) -> Any:
    """Of Matplotlib's scale viridis, at 0 to 1."""
    from matplotlib import colormaps

    return colormaps["viridis"](value)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) else np.nan


def _axes(rows: int = 1) -> tuple[Any, Any]:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("a plot needs Matplotlib: pip install 'vitreous[plots]'") from error
    figure, axes = pyplot.subplots(rows, sharex=True, figsize=(6.4, 1.6 + 1.8 * rows), layout="constrained")
    pyplot.close(figure)  # a notebook shows what is returned, and would show an open figure once more
    return figure, axes
