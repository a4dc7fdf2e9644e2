"""Results as a picture: for each op, forward and backward of each contestant beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from derive.bench.run import Result
from derive.errors import DeriveError

_SUFFIXES = (".svg", ".png", ".pdf")


def check_path(file: str) -> Path:
    """The path of a picture that can be drawn: before anything is measured."""
    path = Path(file)
    if path.suffix not in _SUFFIXES:
        raise DeriveError(f"{file}: a picture ends in {', '.join(_SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise DeriveError("a picture needs matplotlib: pip install 'derive-kernels[bench]'")
    return path


def draw(results: Sequence[Result], path: Path, title: str) -> None:
    """One row of bars for each contestant of each op; the shorter the faster."""
    from matplotlib.figure import Figure

    shown = [r for r in results if not r.error][::-1]
    figure = Figure(figsize=(8, 1.2 + 0.32 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(shown))
    colours = ["tab:blue" if r.ours else "tab:gray" for r in shown]
    axes.barh(places, [r.both * 1e3 for r in shown], color=colours, alpha=0.45)
    axes.barh(places, [r.forward * 1e3 for r in shown], color=colours)
    axes.set_yticks(places, [f"{r.op} · {r.who}" for r in shown])
    axes.set_xlabel("milliseconds: forward (dark), forward and backward (light)")
    axes.set_title(title)
    figure.savefig(path)
