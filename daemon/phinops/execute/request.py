"""From an API's name and parameters to the call that the SDK would make of them.

Scalars go into the query, each struct and each list is one form field of compact JSON (a struct in the query is
answered with a 502 by private deployments).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, TypeAlias

from phinops.catalog.catalog import ApiSpec, Edition
from phinops.catalog.check import convert, problems_of
from phinops.catalog.quotas import allowed
from phinops.errors import Refused
from phinops.execute.sign import compact

Params: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Placed:
    """The parameters of one call, where they travel, as text."""

    query: Mapping[str, str]
    form: Mapping[str, str]


def admitted(spec: ApiSpec, edition: Edition) -> None:
    """Raises Refused, before anything is sent, when the edition does not have the API."""
    if not allowed(spec, edition):
        raise Refused(spec.name, "phinops.Edition", f"needs the {spec.edition} edition; this tenant has {edition}")


def placed(spec: ApiSpec, params: Params, defaults: Params, zone: tzinfo | None) -> Placed:
    """`params` over those of `defaults` that the API takes; times are written in `zone`.

    Raises Refused, before anything is sent, when they are not what the API takes.
    """
    wanted = {name: value for name, value in defaults.items() if spec.parameter(name)} | dict(params)
    problems = problems_of(spec, wanted)
    if problems:
        raise Refused(spec.name, "phinops.Parameters", "; ".join(problem.message for problem in problems))
    query, form = {}, {}
    try:
        for name, value in convert(spec, wanted, zone).items():
            parameter = spec.parameter(name)
            if parameter and parameter.location == "form":
                form[name] = compact(value)
            else:
                query[name] = _scalar(value)
            (form.get(name) or query[name]).encode()
    except (ValueError, TypeError) as error:
        raise Refused(spec.name, "phinops.Parameters", f"cannot be sent: {error}") from error
    return Placed(query, form)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
