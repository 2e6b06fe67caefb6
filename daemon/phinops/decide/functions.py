"""The functions of rules beyond CEL's and Jinja's own: business dates."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo


def bizdate(moment: datetime, zone: tzinfo) -> str:
    """The business date of what runs at `moment`: the day before, in `zone`, as YYYY-MM-DD.

    Dataphin's business date is the run's day less one (OpenAPI documents, supplement parameters).
    """
    return (moment.astimezone(zone).date() - timedelta(days=1)).isoformat()


def days_before(day: str, count: int) -> str:
    """The date `count` days before `day`, both YYYY-MM-DD; a negative count goes forward.

    Raises:
        ValueError: `day` is not a date, or the result is outside the years 1 to 9999.
    """
    try:
        return (date.fromisoformat(day) - timedelta(days=count)).isoformat()
    except (ValueError, OverflowError):
        raise ValueError(f"days_before({day!r}, {count}) needs a date such as 2026-01-31") from None
