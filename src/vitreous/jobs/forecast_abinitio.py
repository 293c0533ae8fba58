"""How long ab initio will still take: see :mod:`vitreous.jobs.forecasts`."""

from collections.abc import Sequence

from vitreous.jobs.forecasts import Info, passes_at_rings, seconds_of
from vitreous.structures.abinitio.schedule import CONVERGED, ENOUGH_NATS, GAIN, MOST, PATIENCE, SETTLED, UNDECIDED_NATS

__all__ = ["forecast_abinitio"]

ABINITIO_MAPS = 500.0  # particles that cost as much as the maps and slices of a pass
ABINITIO_END = 1.7  # to pose a particle at the end, in those of a pass
FEWEST_UNSETTLED = 4  # passes while many poses still move
LAST_PASSES, LAST_UNDECIDED = 7, 10  # at the last rings: where images decide their poses, and where they do not yet


def forecast_abinitio(infos: Sequence[Info], *, starts: int, most_rings: int, particles: int, passes: int) -> float:
    """passes: the most of one start. Starts that have ended say what others will take."""
    last = infos[-1]
    done = [(i["seconds"], _abinitio_units(i["rings"], i["batch_size"])) for i in infos]
    running = [i for i in infos if i["start"] == last["start"]]
    here, rest = (
        sum(i["seconds"] for i in running),
        seconds_of(done, _rest_of_start(running, most_rings, particles, passes)),
    )
    ended = [i["seconds"] for i in infos if i["start"] < last["start"]]
    one = sum(ended) / (last["start"] - 1) if ended else here + rest
    if ended and one > here:
        rest = one - here
    end = seconds_of(done, [ABINITIO_END * _abinitio_units(most_rings, particles)])
    return float(rest + one * (starts - last["start"]) + end)


def _abinitio_units(rings: int, batch: float) -> float:
    return (batch + ABINITIO_MAPS) * rings**2


def _rest_of_start(running: Sequence[Info], most_rings: int, particles: int, passes: int) -> list[float]:
    """Units of the passes that a start will usually still make."""
    last, evidence, moved = running[-1], running[-1]["log_likelihood"], running[-1]["moved_fraction"]
    wanted = running[0]["batch_size"] * min(MOST, max(1.0, ENOUGH_NATS / max(evidence, 1e-3)))
    batch = min(float(particles), wanted)
    rings, here, units = int(last["rings"]), passes_at_rings(running), []
    while rings < most_rings:
        rings, here = (rings + 1, 1) if here >= PATIENCE else (rings, here + 1)
        units.append(_abinitio_units(rings, batch))
    rose = here < 2 or evidence - running[-2]["log_likelihood"] >= GAIN * abs(evidence)
    if moved < CONVERGED and here > 1:
        left = int(rose)
    elif moved < SETTLED and here > 1:
        left = 2
    else:
        left = max((LAST_UNDECIDED if evidence < UNDECIDED_NATS else LAST_PASSES) - here, FEWEST_UNSETTLED)
    return [*units, *[_abinitio_units(rings, batch)] * left][: max(passes - int(last["pass"]), 0)]
