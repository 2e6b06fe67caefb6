"""Alert events: rows that live on while their cause repeats, and what was sent about them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import date
from functools import partial

from phinops.simulate.lives import Agenda
from phinops.simulate.model import Alert, AlertRule, Instance, Notification, Run

_FAILED_DELIVERY_EACH = 7


@dataclass(frozen=True, slots=True)
class Cause:
    """What an alert is about; the same `unique_key` and `reason` continue the same alert while it is open."""

    unique_key: str
    reason: str
    system: str
    object_name: str
    object_type: str
    project_name: str = ""
    biz_name: str = ""
    biz_date: date | None = None
    params: tuple[tuple[str, str], ...] = ()


class AlertBook:
    """All alerts of the tenant, newest last."""

    def __init__(self, agenda: Agenda, first_id: int) -> None:
        self.agenda = agenda
        self.rows: dict[int, Alert] = {}
        self.notifications: list[Notification] = []
        self._open: dict[tuple[str, str], Alert] = {}
        self._ids = itertools.count(first_id)

    def raise_(self, cause: Cause, rule: AlertRule) -> Alert:
        """Alert now: a new row, or one more time of the open one."""
        now = self.agenda.now
        alert = self._open.get((cause.unique_key, cause.reason))
        if alert is None:
            alert = self._new(cause, rule, now)
        else:
            alert.times += 1
            alert.latest = now
            if alert.status == "SILENCING":
                alert.status = "ALERTING"
        self._notify(alert)
        if rule.every and (not rule.limit or alert.times < rule.limit):
            self.agenda.at(now + rule.every, partial(self._repeat, alert, alert.times, cause))
        if rule.silence_after:
            self.agenda.at(now + rule.silence_after, partial(self._silence, alert, alert.times))
        return alert

    def finish(self, unique_key: str, reason: str) -> None:
        """The cause is gone; an alert that was never raised stays so."""
        alert = self._open.pop((unique_key, reason), None)
        if alert is not None:
            alert.status = "FINISH"

    def do_not_disturb(self, alert: Alert, until: float) -> None:
        """Somebody muted the alert until `until`."""
        alert.status = "DO_NOT_DISTURB"
        alert.quiet_until = until
        self.agenda.at(until, partial(self._disturb, alert))

    def on_end(self, instance: Instance, run: Run | None) -> None:
        """A run ended (`Lives.listeners`): what the monitoring rule of the node makes of it."""
        rule = instance.node.alert
        if rule is None or run is None:
            return
        if instance.state == "FAILED":
            self.raise_(cause_of(instance, run), rule)
        else:
            self.finish(instance.id, "VDM_BATCH_ERROR")

    def _new(self, cause: Cause, rule: AlertRule, now: float) -> Alert:
        alert = Alert(
            id=next(self._ids),
            unique_key=cause.unique_key,
            reason=cause.reason,
            system=cause.system,
            object_name=cause.object_name,
            object_type=cause.object_type,
            project_name=cause.project_name,
            biz_name=cause.biz_name,
            biz_date=cause.biz_date,
            params=cause.params,
            rule=rule,
            first=now,
            latest=now,
        )
        self.rows[alert.id] = alert
        self._open[cause.unique_key, cause.reason] = alert
        return alert

    def _notify(self, alert: Alert) -> None:
        if alert.status == "DO_NOT_DISTURB":
            return
        delivered = (len(self.notifications) + 1) % _FAILED_DELIVERY_EACH != 0
        receiver = alert.rule.receivers[0] if alert.rule.receivers else "owner"
        self.notifications.append(Notification(alert, self.agenda.now, alert.rule.channel, receiver, delivered))

    def _repeat(self, alert: Alert, times: int, cause: Cause) -> None:
        if alert.status != "FINISH" and alert.times == times:
            self.raise_(cause, alert.rule)

    def _silence(self, alert: Alert, times: int) -> None:
        if alert.status == "ALERTING" and alert.times == times:
            alert.status = "SILENCING"

    def _disturb(self, alert: Alert) -> None:
        if alert.status == "DO_NOT_DISTURB":
            alert.status = "ALERTING"
            alert.quiet_until = None


def cause_of(instance: Instance, run: Run) -> Cause:
    """Why a failed run alerts. `UniqueKey` of a batch alert is the instance's id (overview of alert events)."""
    node = instance.node
    return Cause(
        unique_key=instance.id,
        reason="VDM_BATCH_ERROR",
        system="VDM_BATCH",
        object_name=node.name,
        object_type=f"VDM_BATCH_{node.sub_type}",
        project_name=node.project.name,
        biz_name=node.project.biz_unit,
        biz_date=instance.biz_date,
        params=(("node_name", node.name), ("instance_id", instance.id), ("task_run_id", run.id)),
    )
