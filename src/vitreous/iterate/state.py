"""A state as named arrays and back, and the check that it is finite."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import torch

__all__ = ["NonFiniteStateError", "check_finite", "state_from_arrays", "state_to_arrays"]

S = TypeVar("S")

STRUCTURE = "structure"  # the array that holds the JSON description of everything that is not an array


class NonFiniteStateError(ValueError):
    """A state holds NaN or infinity."""


def check_finite(state: Any) -> None:
    """Refuse a state with a NaN or infinite number anywhere in it.

    Raises
    ------
    NonFiniteStateError
        Naming the field, the iteration, and how many of its values are not finite.
    """
    for name, value in _leaves(state, ""):
        bad, size = _count_non_finite(value)
        if bad:
            raise NonFiniteStateError(
                f"iteration {state.iteration}: {name} has {bad} non-finite value(s) of {size}; the last saved state "
                "is intact, so the cause lies in this step or in the particles that it saw"
            )


def _count_non_finite(value: Any) -> tuple[int, int]:
    if isinstance(value, torch.Tensor):
        return int((~torch.isfinite(value)).sum()), value.numel()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        return int((~np.isfinite(value)).sum()), value.size
    if isinstance(value, float):
        return int(not math.isfinite(value)), 1
    return 0, 1


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, child in _children(value):
        yield from _leaves(child, f"{path}.{name}" if path else name)
    if not isinstance(value, tuple | dict) and not is_dataclass(value):
        yield path, value


def _children(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, tuple):
        return [(str(i), v) for i, v in enumerate(value)]
    if isinstance(value, dict):
        return list(value.items())
    if is_dataclass(value):
        return [(f.name, getattr(value, f.name)) for f in fields(value)]
    return []


def state_to_arrays(state: Any) -> dict[str, np.ndarray]:
    """Flatten a dataclass to named NumPy arrays, which ``numpy.savez`` keeps without pickle.

    Array and tensor fields (any depth of dataclass, tuple, dict with string keys) become entries named by their
    path, ``"groups.0.sigma2"``; tensors come from any device. Numbers, strings, None and the nesting itself go into
    one entry ``"structure"`` (JSON, so that floats keep their bits).

    Raises
    ------
    TypeError
        Naming the field whose value is of a kind that cannot be kept.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = _describe(state, "", arrays)
    arrays[STRUCTURE] = np.frombuffer(json.dumps(structure).encode(), dtype=np.uint8)
    return arrays


def _describe(value: Any, path: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    def described(children: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: _describe(child, f"{path}.{name}" if path else name, arrays) for name, child in children}

    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": "dataclass", "name": type(value).__qualname__, "fields": described(_children(value))}
    if isinstance(value, tuple):
        return {"kind": "tuple", "items": list(described(_children(value)).values())}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"kind": "dict", "items": described(_children(value))}
    if isinstance(value, torch.Tensor):
        arrays[path] = value.detach().cpu().numpy()
        return {"kind": "tensor", "path": path}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcU":
        arrays[path] = value
        return {"kind": "array", "path": path}
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return {"kind": "value", "value": value.item()}
    if value is None or isinstance(value, bool | int | float | str):
        return {"kind": "value", "value": value}
    raise TypeError(f"{path}: a state cannot hold a {type(value).__name__}; use tensors, numbers, strings or tuples")


def state_from_arrays(cls: type[S], arrays: Mapping[str, np.ndarray]) -> S:
    """Rebuild a ``cls`` from what :func:`state_to_arrays` made; tensors come back on the CPU.

    A generic class is given with its parameters, ``State[Chain]``.

    Raises
    ------
    ValueError
        When the arrays describe another class, or one with other fields (written by another version).
    """
    structure = json.loads(bytes(arrays[STRUCTURE]).decode())
    expected = (get_origin(cls) or cls).__qualname__
    if structure.get("name") != expected:
        raise ValueError(
            f"expected a saved {expected}, found {structure.get('name')}: it was written by another method or version"
        )
    return _rebuild(structure, arrays, _dataclasses_within(cls, {}))


def _rebuild(node: dict[str, Any], arrays: Mapping[str, np.ndarray], classes: dict[str, type]) -> Any:
    match node["kind"]:
        case "value":
            return node["value"]
        case "array":
            return arrays[node["path"]]
        case "tensor":
            return torch.from_numpy(np.array(arrays[node["path"]]))
        case "tuple":
            return tuple(_rebuild(item, arrays, classes) for item in node["items"])
        case "dict":
            return {name: _rebuild(item, arrays, classes) for name, item in node["items"].items()}
        case _:
            return _rebuild_dataclass(node, arrays, classes)


def _rebuild_dataclass(node: dict[str, Any], arrays: Mapping[str, np.ndarray], classes: dict[str, type]) -> Any:
    cls = classes.get(node["name"])
    if cls is None:
        raise ValueError(f"the saved state holds a {node['name']}, which this version does not know")
    known = {f.name for f in fields(cls)}
    different = sorted(known ^ set(node["fields"]))
    if different:
        raise ValueError(f"the saved {node['name']} was written by another version: field(s) {', '.join(different)}")
    return cls(**{name: _rebuild(child, arrays, classes) for name, child in node["fields"].items()})


def _dataclasses_within(annotation: Any, found: dict[str, type]) -> dict[str, type]:
    """Every dataclass that the annotation mentions, at any depth, by qualified name."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        if annotation.__qualname__ not in found:
            found[annotation.__qualname__] = annotation
            for hint in get_type_hints(annotation).values():
                _dataclasses_within(hint, found)
    else:
        origin = get_origin(annotation)  # of a generic dataclass with its parameters
        for part in ((origin,) if is_dataclass(origin) else ()) + get_args(annotation):
            _dataclasses_within(part, found)
    return found
