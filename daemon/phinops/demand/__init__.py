"""What rules and sources ask of a day's calls, against what the quota has: arithmetic, before anything runs."""

from phinops.demand.warnings import quota_warnings

__all__ = ["quota_warnings"]
