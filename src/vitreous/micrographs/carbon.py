"""Where a micrograph shows carbon: an area that is louder in fine detail than the ice beside it; and the step between.

Carbon is darker than ice by more than any particle, so that a filter as wide as a particle answers to its edge. The
step is the same all along the edge: a function of the distance from it, which is measured and taken off.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

__all__ = ["carbon_area", "step_at_edge"]

FINE_PX = 1.5  # sigma, below which detail is fine: of the images that are searched, far below the particle
WIDTH = 0.5  # diameters: sigma of the window that loudness is measured in
QUIET = 0.1  # quantile of the loudness that stands for ice
EMPTY = 0.01  # of the power of fine detail in its loudest tenth
LOUDER = 1.35  # times that of ice; carbon of twice the variance of ice has 1.7, particles and aggregates in ice 1.25
BESIDE, STEP = (0.5, 1.5), 1.3  # diameters from the edge, and how much louder than ice carbon is there; a slope has 1.2
LEAST_RADIUS = 1.0  # diameters: aggregates and ice blobs are narrower
EDGE_PX, SMOOTH = 1.5, 0.4  # sigma of the image in which an edge is found; that of the edge itself, in diameters
MOVES = 4
CLEAR = 0.5  # diameters from the edge, where levels of ice and carbon are read
STEPS = 2.0  # standard deviations of the smoothed ice: less is no step that an edge could be found by


def carbon_area(image: np.ndarray, diameter_px: float) -> np.ndarray:
    """Which pixels of a clean image (rows, columns) lie on carbon: bool, nowhere true where there is none.

    Carbon is a rough film: it has more power at frequencies where particles, ice and contamination have little. What is
    louder counts where a circle of ``LEAST_RADIUS`` fits into it, and where its loudness begins with a step: noise that
    grows little by little across a micrograph, as with the thickness of ice, has an edge nowhere. A micrograph that is
    all carbon has none beside it to be louder than, and is not marked. Areas without detail, where pixels were filled
    in, are neither.
    """
    power = np.square(image - gaussian_filter(image, FINE_PX))
    near = gaussian_filter(power, 2 * FINE_PX)
    seen: np.ndarray = near > EMPTY * np.quantile(near, 1 - QUIET)
    if not seen.any():
        return seen
    share = np.maximum(gaussian_filter(seen.astype(power.dtype), WIDTH * diameter_px), np.finfo(power.dtype).eps)
    loudness = np.sqrt(gaussian_filter(power * seen, WIDTH * diameter_px) / share)
    loud = seen & (loudness > LOUDER * np.quantile(loudness[seen], QUIET))
    radius = LEAST_RADIUS * diameter_px
    reach = int(radius) + 1
    core = distance_transform_edt(np.pad(loud, reach, mode="edge")) > radius
    grown = distance_transform_edt(~core) <= radius if core.any() else core
    inside: np.ndarray = grown[reach:-reach, reach:-reach] & loud
    away = _distance(inside) / diameter_px if inside.any() else np.zeros(inside.shape)
    film, ice = (loudness[seen & (side > BESIDE[0]) & (side < BESIDE[1])] for side in (away, -away))
    if len(film) and len(ice) and np.median(film) < STEP * np.median(ice):
        return np.zeros_like(inside)
    return inside


def step_at_edge(image: np.ndarray, carbon: np.ndarray, diameter_px: float) -> tuple[np.ndarray, np.ndarray]:
    """What of an image is a function of the distance from an edge of carbon: (step, carbon), both (rows, columns).

    carbon: about where carbon is, from :func:`carbon_area`. The edge is moved by up to a diameter to where the image
    changes from the level of ice to that of carbon, and kept smooth, so that particles and ice beside it do not bend
    it; the step is the median at every distance from it, up to a diameter. Where ice and carbon are equally bright the
    edge stays where it was, and the step is small.
    """
    smooth = gaussian_filter(image, EDGE_PX)
    for _ in range(MOVES):
        away = _distance(carbon)
        ice, film = (smooth[side & (np.abs(away) > CLEAR * diameter_px)] for side in (~carbon, carbon))
        if not (len(ice) and len(film)):
            break
        levels = float(np.median(ice)), float(np.median(film))
        if abs(levels[1] - levels[0]) < STEPS * 1.4826 * float(np.median(np.abs(ice - levels[0]))):
            break
        nearer = (smooth - 0.5 * sum(levels)) * (levels[1] - levels[0]) > 0
        there = np.where(np.abs(away) < diameter_px, nearer, carbon).astype(np.float32)
        carbon = _smoothed(there, SMOOTH * diameter_px) > 0.5
    if carbon.all() or not carbon.any():
        return np.zeros(image.shape, np.float32), carbon
    distance = np.clip(gaussian_filter(_distance(carbon), 1.0), -diameter_px, diameter_px)
    ring = np.rint(distance + diameter_px).astype(int)
    order = np.argsort(ring, axis=None, kind="stable")
    rings, first = np.unique(ring.ravel()[order], return_index=True)
    medians = [np.median(values) for values in np.split(image.ravel()[order], first[1:])]
    return np.interp(distance + diameter_px, rings, medians).astype(np.float32), carbon


def _smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian; beyond its border the image goes on as it comes to it, so that an edge meets it at any angle."""
    reach = int(4.0 * sigma) + 1
    wide = np.pad(image, reach, mode="reflect", reflect_type="odd")
    smooth: np.ndarray = gaussian_filter(wide, sigma)[reach:-reach, reach:-reach]
    return smooth


def _distance(carbon: np.ndarray) -> np.ndarray:
    """From the edge in pixels, positive on carbon."""
    inside: np.ndarray = distance_transform_edt(carbon) - distance_transform_edt(~carbon)
    return inside - 0.5 * np.sign(inside)
