"""The example rules: in the wheel they lie inside the package, in a source tree beside it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def example_rules() -> Path:
    """The folder of the example rules."""
    packed = Path(str(files("phinops"))) / "rules"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "rules"
