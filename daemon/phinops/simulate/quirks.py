"""How this installation differs from the documents: the switches of a scenario, which tests may turn at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Quirks:
    """Seconds are of the tenant's clock.

    Attributes:
        times: instances' times as epoch milliseconds (seen on real installations) or as texts (as documented).
        errors: business errors as HTTP 400, or as HTTP 200 with `Success: false`.
        items: a batch write with a bad item reports it beside the good ones, or refuses the whole call.
        spellings: states as documented, or as also seen: NIT, WATING.
        page_limit: the most rows a page holds, whatever was asked; 0: no limit.
        shift_pages: rows that move over each page border while pages are read; every second reading they move the
            other way, so that a reader sees rows twice or misses them.
        state_delay: how late the effect of an accepted command begins.
        auto_rerun: how often the platform itself reruns a failed run, `auto_rerun_every` after its end.
        repeat_pause: what pausing what is paused (and resuming a node that is not) answers.
        fix_data_hidden: instances that FixData runs keep showing their last state until the run ends.
        throttle_headers: how a refused call says when to come back.
    """

    times: Literal["ms", "text"] = "ms"
    errors: Literal["status", "body"] = "status"
    items: Literal["listed", "refused"] = "listed"
    spellings: Literal["documented", "vendor"] = "documented"
    page_limit: int = 0
    shift_pages: int = 0
    state_delay: float = 0.0
    auto_rerun: int = 0
    auto_rerun_every: float = 300.0
    repeat_pause: Literal["error", "success"] = "error"
    fix_data_hidden: bool = False
    throttle_headers: Literal["acs", "ratelimit", "none"] = "acs"
