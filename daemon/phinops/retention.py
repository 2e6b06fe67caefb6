"""What the store lets go of: what is over, once it is old, or once the store is too large.

A round looks once an hour. Records go by whole days of the config's zone, the oldest first, in ops so small that nobody
who writes has to wait for them. By age at most one day goes in a round: a clock that is wrong for an hour costs no more
than that. By size as many go as it takes, but for the two newest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from functools import partial

import structlog

from phinops.clock import Clock
from phinops.config import StoreSection
from phinops.config.model import KEPT_AT_LEAST
from phinops.decide.rule import Rule
from phinops.errors import StoreError, StoreLost
from phinops.event import JsonObject
from phinops.pulse import Pulse
from phinops.record import pruning
from phinops.record.audit import oldest_line, prune_audit
from phinops.record.pruning import AT_A_TIME, SWEEPS, Horizon, StoreSize, Sweep, Swept
from phinops.record.rulesets import prune_sets
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, T, Tx
from phinops.record.windows import LATE

log = structlog.get_logger(__name__)

ROUND = 3600.0
"""Seconds between two looks."""

BREATH = 0.02
"""Seconds between two ops, in which others write."""

JUMP = 300.0
"""Seconds by which the clock may leave the monotonic one between two looks before its word on ages is not taken."""

DISTRUST = 86_400.0
"""Seconds for which that lasts."""

_DAY = timedelta(days=1)
_FREE = 0.25
"""The share of free pages from which on a file is made smaller; below it they are soon used again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How the store stands: `oldest` is when its oldest event was received, `before` what is older than was pruned."""

    size: StoreSize
    oldest: datetime | None
    before: datetime | None


class Retention:
    """Prunes the store. `rules` are those in force, `forget_sets` makes who keeps rule sets keep them anew."""

    def __init__(
        self,
        store: Store,
        keeping: StoreSection,
        rules: Callable[[], Iterable[Rule]],
        forget_sets: Callable[[], None],
        clock: Clock,
        zone: tzinfo,
        pulse: Pulse,
    ) -> None:
        self._store = store
        self._keeping = keeping
        self._rules = rules
        self._forget_sets = forget_sets
        self._clock = clock
        self._zone = zone
        self._pulse = pulse
        self._seen = clock.monotonic(), clock.now()
        self._distrusted_until = float("-inf")
        self.kept = Kept(StoreSize(0, 0, shrinks=False), None, None)

    async def look(self) -> None:
        """See how the store stands.

        Raises:
            StoreError: it cannot be read.
        """
        self.kept = await self._store.read(_kept)

    def told(self) -> JsonObject:
        """`{bytes, file_bytes, oldest_event, pruned_before}` as of the last look; times are RFC 3339 or None."""
        size = self.kept.size
        times = {"oldest_event": self.kept.oldest, "pruned_before": self.kept.before}
        shown = {name: when.astimezone(self._zone).isoformat() if when else None for name, when in times.items()}
        return {"bytes": size.used, "file_bytes": size.file, **shown}

    def samples(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """The numbers to publish, as of the last look."""
        kept = self.kept
        times = {"store_oldest_event": kept.oldest, "store_pruned_before": kept.before}
        found: dict[str, list[tuple[dict[str, str], float]]] = {
            f"{name}_timestamp_seconds": [({}, when.timestamp())] for name, when in times.items() if when
        }
        parts = {"used": kept.size.used, "free": kept.size.file - kept.size.used}
        return {"store_bytes": [({"part": part}, float(count)) for part, count in parts.items()], **found}

    async def run(self) -> None:
        """Prune until cancelled.

        Raises:
            StoreLost: another process has taken the store over.
        """
        while True:
            self._pulse.beat("retention", ROUND)
            try:
                await self.round()
            except StoreLost:
                raise
            except StoreError as error:
                log.debug("retention.put_off", reason=str(error))
            await self._clock.sleep(ROUND)

    async def round(self) -> None:
        """Let go of what is due.

        Raises:
            StoreError: the store cannot be read or written; what is left over is due the next time.
        """
        await self.look()
        now = self._clock.now()
        if self._trusts_the_clock(now):
            await self._a_day_of_records(self._midnight(now - self._keeping.keep), "age")
            await self._a_day_of_audit(self._midnight(now - self._keeping.keep_audit), "age")
        limit, newest = self._keeping.max_size, self._midnight(now - KEPT_AT_LEAST)
        while self.kept.size.used > limit:
            if not (await self._a_day_of_records(newest, "size") or await self._a_day_of_audit(newest, "size")):
                log.warning("store.too_large", bytes=self.kept.size.used, max_size=limit)
                break
        await self._give_back()

    async def _a_day_of_records(self, until: datetime, why: str) -> bool:
        """Prune the oldest day of records, where it ends by `until`; whether there was one."""
        start = self.kept.before or self.kept.oldest
        if start is None or start >= until:
            return False
        before = min(until, self._midnight(start) + _DAY)
        horizon, gone = Horizon(before, self._longer(before)), Counter[str]()
        for sweep in SWEEPS:
            after: int | None = 0
            while after is not None:
                swept = await self._op(partial(_carry_out, sweep, horizon, after))
                gone.update(swept.gone)
                after = swept.after
        await self._store.write(partial(self._finish, before))
        await self._tell(gone, why, before)
        return True

    async def _a_day_of_audit(self, until: datetime, why: str) -> bool:
        """Drop the audit's oldest day, where it ends by `until`; whether there was one."""
        oldest = await self._store.read(oldest_line)
        if oldest is None or oldest >= until:
            return False
        before, gone = min(until, self._midnight(oldest) + _DAY), Counter[str]()
        while lines := await self._op(lambda tx: prune_audit(tx, before, AT_A_TIME)):
            gone["audit"] += lines
        await self._tell(gone, why, before)
        return True

    async def _op(self, op: Callable[[Tx], T]) -> T:
        """One small op, and time for others to write theirs."""
        self._pulse.beat("retention", ROUND)
        result = await self._store.write(op)
        await self._clock.sleep(BREATH)
        return result

    def _finish(self, before: datetime, tx: Tx) -> None:
        # Sets are put anew when they decide next; until then none is dropped that decided something of late.
        self._forget_sets()
        prune_sets(tx, before - KEPT_AT_LEAST)
        pruning.keep_pruned_before(tx, before)

    async def _tell(self, gone: Counter[str], why: str, before: datetime) -> None:
        await self.look()
        if gone.total():
            log.info("store.pruned", because=why, before=before.isoformat(), bytes=self.kept.size.used, **dict(gone))

    async def _give_back(self) -> None:
        """Make a file smaller of which much is free."""
        size = self.kept.size
        while size.shrinks and size.file - size.used > size.file * _FREE:
            await self._op(pruning.shrink)
            left = (await self._store.read(pruning.size_of)).file
            if left >= size.file:
                break
            size = replace(size, file=left)
        await self.look()

    def _longer(self, before: datetime) -> dict[str, datetime]:
        """From when on the firings of rules are needed that look back further than to `before`."""
        now = self._clock.now()
        needed = {rule.id: now - looks_back(rule) - _DAY for rule in self._rules()}
        return {rule: moment for rule, moment in needed.items() if moment < before}

    def _trusts_the_clock(self, now: datetime) -> bool:
        """Whether the clock has gone on as time has for a day, so that it may be asked how old things are."""
        monotonic, (last, seen) = self._clock.monotonic(), self._seen
        self._seen = monotonic, now
        if abs((now - seen).total_seconds() - (monotonic - last)) > JUMP:
            log.warning("retention.clock_jumped", until_s=DISTRUST)
            self._distrusted_until = monotonic + DISTRUST
        return monotonic >= self._distrusted_until

    def _midnight(self, moment: datetime) -> datetime:
        """The beginning of the moment's day."""
        return moment.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)


def looks_back(rule: Rule) -> timedelta:
    """How old what a rule did, or what counts for it, may be and still matter to what it decides."""
    limits, pattern = rule.limits, rule.pattern
    windows = [each.per for each in (limits.firings, limits.targets) if each]
    return max([rule.cooldown or timedelta(), pattern.within + LATE if pattern else timedelta(), *windows])


def _carry_out(sweep: Sweep, horizon: Horizon, after: int, tx: Tx) -> Swept:
    return sweep(tx, horizon, after)


def _kept(tx: Snapshot) -> Kept:
    return Kept(pruning.size_of(tx), pruning.oldest_event(tx), pruning.pruned_before(tx))
