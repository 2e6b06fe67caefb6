"""The loop in virtual time, under the name that tests know it by."""

from phinops.virtual import STEP, FastLoop, run

__all__ = ["STEP", "FastLoop", "run"]
