"""A silence: for some time rules do not fire, all of them or some, on everything or on some of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from fnmatch import fnmatchcase

from phinops.event import Event, JsonObject

PARTS = ("rule", "node", "project", "instance", "alert")
"""What a silence may be narrowed by: globs (`*`, `?`, `[ab]`) over a rule's id, and over id or name of the others."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Who silenced what, until when and why. A part that is "" is not looked at; all that are given must fit."""

    id: str
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str
    tenant: str = ""
    rule: str = ""
    node: str = ""
    project: str = ""
    instance: str = ""
    alert: str = ""
    ended_by: str = ""

    def covers(self, rule: str, event: Event) -> bool:
        """Whether it silences the rule on this event. An event that has no node is of no node, and so on."""
        if self.tenant and self.tenant != event.tenant:
            return False
        node, instance, alert = event.node, event.instance, event.alert
        names = {
            "rule": (rule,),
            "node": (node.id, node.name) if node else (alert.object.name,) if alert else (),
            "project": (event.project.id, event.project.name),
            "instance": (instance.id,) if instance else (alert.unique_key,) if alert else (),
            "alert": (alert.id, alert.reason) if alert else (),
        }
        return all(_fits(getattr(self, part), names[part]) for part in PARTS)

    def runs(self, now: datetime) -> bool:
        """Whether it is in force at that time."""
        return self.starts_at <= now < self.ends_at

    def words(self, zone: tzinfo) -> str:
        """For people: until when, whose it is, and why."""
        until = self.ends_at.astimezone(zone).isoformat(timespec="seconds")
        return f"silenced until {until} by {self.author}: {self.reason} ({self.id})"

    def to_json(self, zone: tzinfo) -> JsonObject:
        """As `phinops silence list --json` prints it."""
        return {
            "id": self.id,
            "tenant": self.tenant,
            **{part: getattr(self, part) for part in PARTS},
            "starts": self.starts_at.astimezone(zone).isoformat(),
            "ends": self.ends_at.astimezone(zone).isoformat(),
            "author": self.author,
            "reason": self.reason,
            "ended_by": self.ended_by,
        }


def _fits(pattern: str, names: tuple[str, ...]) -> bool:
    return not pattern or any(fnmatchcase(name, pattern) for name in names if name)
