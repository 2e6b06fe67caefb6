"""What a thing is about, in a few words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def what_of(event: Mapping[str, Any]) -> str:
    """What an event is about, in a few words."""
    node, instance, alert = (event.get(part) or {} for part in ("node", "instance", "alert"))
    if instance:
        return f"{node.get('name') or node.get('id')} {instance['id']} {instance.get('biz_date') or ''}".strip()
    if alert:
        return f"{(alert.get('object') or {}).get('name') or ''} {alert.get('reason') or alert['id']}".strip()
    others: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
        ("api", lambda part: str(part.get("name") or part.get("id"))),
        ("schedule", lambda part: str(part.get("cron"))),
        ("action", lambda part: f"{part.get('step')} {part.get('target')} {part.get('outcome')}"),
        ("health", lambda part: f"{part.get('name')} {part.get('reason') or ''}"),
        ("quota", lambda part: f"pool {part.get('pool')}: {part.get('used')} of {part.get('limit')}"),
        ("rule", lambda part: str(part.get("id"))),
    )
    return next((told(event[part]).strip() for part, told in others if event.get(part)), "")
