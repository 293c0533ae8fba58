"""A package whose stub is the only list of its names."""

import sys

import pytest


def test_names_are_imported_when_they_are_used(tmp_path, monkeypatch):
    package = tmp_path / "slow_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from vitreous.lazy import attach\n\nsize = 3\n__getattr__, __dir__, __all__ = attach(__name__, __file__)\n"
    )
    (package / "__init__.pyi").write_text(
        "from slow_package.home import value as value\nfrom slow_package.home import inner as outer\n\nsize: int\n"
    )
    (package / "home.py").write_text("value, inner = [1], [2]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import slow_package

    assert slow_package.__all__ == dir(slow_package) == ["outer", "size", "value"]
    assert "slow_package.home" not in sys.modules
    assert (slow_package.value, slow_package.outer, slow_package.size) == ([1], [2], 3)
    assert slow_package.value is slow_package.value
    with pytest.raises(AttributeError, match="'slow_package' has no attribute 'inner'"):
        _ = slow_package.inner
