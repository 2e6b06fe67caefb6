"""Prometheus text from the daemon's numbers, with a registry of our own: nothing but what is listed here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from phinops import __version__
from phinops.event import JsonObject
from phinops.surface.service import Health, Samples

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its kind, what it means, and the labels that tell its series apart."""

    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: Mapping[str, Family] = {
    "build_info": Family("gauge", "Always 1; the version is the label.", ("version",)),
    "ready": Family("gauge", "1 when /readyz would answer 200."),
    "healthy": Family("gauge", "1 when every loop moves."),
    "paused": Family("gauge", "1 while no write leaves (phinops pause)."),
    "source_last_good_timestamp_seconds": Family("gauge", "When the source was last read well.", ("tenant", "source")),
    "source_interval_seconds": Family("gauge", "How often the source is asked at present.", ("tenant", "source")),
    "source_state": Family("gauge", "1 for the state that the source is in.", ("tenant", "source", "state")),
    "quota_used": Family("gauge", "Calls of the quota day that are spent or leased.", ("tenant", "pool")),
    "quota_limit": Family("gauge", "Calls that the quota day has; absent without a limit.", ("tenant", "pool")),
    "quota_reserve": Family("gauge", "Calls that polling leaves to actions.", ("tenant", "pool")),
    "quota_left": Family("gauge", "Calls that the quota day has yet; absent without a limit.", ("tenant", "pool")),
    "quota_spent": Family("gauge", "1 when none is left, or Dataphin answers as if none were.", ("tenant", "pool")),
    "quota_calls_per_hour": Family("gauge", "Calls within the last sixty minutes, about.", ("tenant", "pool")),
    "quota_runs_out_timestamp_seconds": Family(
        "gauge", "When none is left at this pace; absent where they last until the day ends.", ("tenant", "pool")
    ),
    "rate_limit_calls_per_second": Family("gauge", "Calls a second that phinops may make.", ("tenant", "pool")),
    "rate_allowed_calls_per_second": Family(
        "gauge", "Calls a second that it makes at most now: fewer for a while after a throttle.", ("tenant", "pool")
    ),
    "calls_today": Family("gauge", "Calls of the quota day by level, over all accounts.", ("level",)),
    "calls_by_source": Family("gauge", "Calls of the quota day by who had them made.", ("source", "level")),
    "events_total": Family("counter", "Changes seen since the start, each once.", ("type",)),
    "events_recorded": Family("gauge", "Changes that the store holds."),
    "firings_recorded": Family("gauge", "Decisions of rules that the store holds."),
    "actions": Family("gauge", "Writes that the store holds, by how they ended.", ("outcome",)),
    "actions_unsettled": Family("gauge", "Writes whose outcome is still open."),
    "approvals_open": Family("gauge", "Questions to people that wait for an answer."),
    "leases": Family("gauge", "Nodes that are paused and will be resumed by themselves."),
    "actions_doubled": Family("gauge", "Writes that a second look found done more often than meant."),
    "notices": Family("gauge", "Notices that the store holds, by what became of them.", ("state",)),
    "store_bytes": Family("gauge", "Bytes of the store that hold something, and those that are free.", ("part",)),
    "store_oldest_event_timestamp_seconds": Family("gauge", "When the oldest change on record was received."),
    "store_pruned_before_timestamp_seconds": Family("gauge", "What is older was pruned, but for what is open."),
    "rules": Family("gauge", "Rules by state: loaded, quarantined.", ("state",)),
    "reloads_total": Family("counter", "Reloads since the start, by whether they were accepted.", ("result",)),
    "loop_age_seconds": Family("gauge", "How long ago each loop last moved.", ("loop",)),
}
"""Every metric, without its prefix `phinops_`."""


Series = dict[str, list[tuple[dict[str, str], float]]]


def samples_of_counts(counts: JsonObject) -> Series:
    """The numbers of the store's totals."""
    return {
        "events_recorded": [({}, float(counts["events"]))],
        "firings_recorded": [({}, float(counts["firings"]))],
        "actions": [({"outcome": name}, float(count)) for name, count in counts["actions"].items()],
        "actions_unsettled": [({}, float(counts["open"]))],
        "approvals_open": [({}, float(counts["approvals"]))],
        "leases": [({}, float(counts["leases"]))],
        "actions_doubled": [({}, float(counts["doubled"]))],
        "notices": [({"state": name}, float(count)) for name, count in counts["notices"].items()],
    }


def samples_of(status: JsonObject, ready: Health, healthy: Health) -> Series:
    """The numbers that the status object already holds."""
    out: Series = {
        "build_info": [({"version": __version__}, 1.0)],
        "ready": [({}, float(ready[0]))],
        "healthy": [({}, float(healthy[0]))],
        "paused": [({}, float(status["paused"] is not None))],
    }
    for tenant in status["tenants"]:
        for source in tenant["sources"]:
            labels = {"tenant": tenant["name"], "source": source["name"]}
            out.setdefault("source_state", []).append(({**labels, "state": source["state"]}, 1.0))
            _add(out, "source_interval_seconds", labels, source["interval_s"])
            _add(out, "source_last_good_timestamp_seconds", labels, _timestamp(source["last_good"]))
        for pool in tenant["quota"]:
            for number in ("used", "limit", "reserve"):
                _add(out, f"quota_{number}", {"tenant": tenant["name"], "pool": pool["pool"]}, pool[number])
    return out


def render(samples: Samples) -> bytes:
    """The text that Prometheus reads. Costs some milliseconds: not for the event loop's thread.

    Raises:
        KeyError: a name is not in `FAMILIES`.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(samples))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        for name, series in self._samples.items():
            yield _metric(name, FAMILIES[name], series)


def _metric(name: str, family: Family, series: Iterable[tuple[Mapping[str, str], float]]) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = kind(f"phinops_{name}", family.help, labels=family.labels)
    for labels, value in series:
        metric.add_metric([labels.get(label, "") for label in family.labels], value)
    return metric


def _add(out: Series, name: str, labels: dict[str, str], value: float | None) -> None:
    if value is not None:
        out.setdefault(name, []).append((labels, float(value)))


def _timestamp(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None
