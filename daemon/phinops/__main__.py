"""`phinops` and `python -m phinops`."""

from phinops.surface.cli import phinops


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    phinops(prog_name="phinops")


if __name__ == "__main__":
    main()
