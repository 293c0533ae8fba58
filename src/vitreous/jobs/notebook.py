"""A bar in a notebook: one line of HTML that is replaced, and goes at the end. It needs no widgets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from time import perf_counter

__all__ = ["notebook_bar"]

AT_MOST_EVERY_S = 0.2


@contextmanager
def notebook_bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """``show(share, words)`` while the block runs, where IPython is."""
    from IPython.display import HTML, DisplayHandle  # only in a notebook

    handle, shown = DisplayHandle(), -AT_MOST_EVERY_S
    handle.display(HTML(""))

    def show(share: float, words: str) -> None:
        nonlocal shown
        if perf_counter() - shown < AT_MOST_EVERY_S:
            return
        shown = perf_counter()
        handle.update(
            HTML(
                f'<div style="font:13px system-ui,sans-serif">{escape(title)} <progress value="{share:.3f}" max="1">'
                f"</progress> {share:.0%} {escape(words)}</div>"
            )
        )

    try:
        yield show
    finally:
        handle.update(HTML(""))
