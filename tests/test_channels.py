"""Notifiers as channels, replaced while they deliver, and the daemon's own notice."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from phinops.channels import TELL_AGAIN, Notices, StoredOutbox, channels_of
from phinops.clock import LoopClock, SystemClock
from phinops.config import Notifier
from phinops.config.secret import Secret
from phinops.errors import ConfigError
from phinops.execute.desk import Alarm
from phinops.execute.notify.dingtalk import DingTalkChannel
from phinops.execute.notify.post import Post
from phinops.execute.notify.webhook import WebhookChannel
from phinops.record import journal
from phinops.record.audit import Wanted, audit_page
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.virtual import run
from worlds import START, FailingStore

CEILING = Alarm("ceiling", "phinops holds writes back", "500 writes")
KEYS = {"webhook": "whsec_" + base64.b64encode(b"0" * 24).decode(), "dingtalk": "SEC0123456789"}


def _secret(folder: Path, name: str, value: str) -> Secret:
    path = folder / name
    path.touch(0o600)
    path.write_text(value)
    return Secret(file=path)


def _notifier(folder: Path, type: Any, url: str = "http://127.0.0.1:1/x") -> Notifier:
    return Notifier(
        type=type, url=_secret(folder, f"{type}-url", url), secret=_secret(folder, f"{type}-secret", KEYS[type])
    )


def _put(tx: Tx, *, name: str) -> None:
    journal.put_notice(tx, name, None, 0, "oncall", {"message": name})


@dataclass(slots=True)
class Shelf:
    store: Store
    clock: LoopClock
    notices: Notices

    async def rows(self, state: str = "ready") -> list[str]:
        rows = await self.store.read(lambda tx: tx.all("notice_counts"))
        return [row["state"] for row in rows for _ in range(row["n"]) if row["state"] == state]


@asynccontextmanager
async def shelf(
    notifiers: dict[str, Notifier], outages: list[tuple[float, float]] | None = None
) -> AsyncGenerator[Shelf]:
    clock = LoopClock(START)
    async with Store.open(":memory:", clock) as store, Post() as post:
        failing: Any = FailingStore(store, clock, outages or [])
        yield Shelf(store, clock, Notices(notifiers, failing, post, clock))


async def test_each_type_of_notifier_has_its_channel_and_a_missing_secret_is_said(tmp_path: Path) -> None:
    async with Post() as post:
        config = {"a": _notifier(tmp_path, "webhook"), "b": _notifier(tmp_path, "dingtalk")}
        found = channels_of(config, post, LoopClock(START))
        assert [type(channel) for channel in found.values()] == [WebhookChannel, DingTalkChannel]
        address = "https://oapi.dingtalk.com/robot/send?access_token=x"
        bare = Notifier(type="dingtalk", url=_secret(tmp_path, "url", address))
        channels_of({"c": bare}, post, LoopClock(START))
        (tmp_path / "webhook-secret").unlink()
        with pytest.raises(ConfigError):
            channels_of(config, post, LoopClock(START))


def test_the_outbox_keeps_what_is_due_put_back_sent_and_dead() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            for name in ("m1", "m2", "m3"):
                await store.write(partial(_put, name=name))
            outbox = StoredOutbox(store)
            letters = await outbox.due("oncall", clock.now(), 10)
            assert [(letter.id, letter.payload["message"]) for letter in letters] == [
                (m, m) for m in ("m1", "m2", "m3")
            ]
            await outbox.sent("m1")
            await outbox.dead("m2", "no such robot")
            await outbox.retry("m3", clock.now().replace(year=2030), "busy")
            assert await outbox.due("oncall", clock.now(), 10) == []
            (late,) = await outbox.due("oncall", clock.now().replace(year=2031), 10)
            assert (late.id, late.attempts) == ("m3", 1)
            assert await outbox.due("other", clock.now(), 10) == []

    run(main())


def test_what_is_told_together_is_kept_with_its_carrier_and_dies_with_it() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            for name in ("m1", "m2", "m3"):
                await store.write(partial(_put, name=name))
            outbox = StoredOutbox(store, {"oncall": "night"})
            await outbox.merge("m1", ["m2"])
            first, third = await outbox.due("oncall", clock.now(), 10)
            assert (first.id, first.carries, third.id, third.carries) == ("m1", True, "m3", False)
            assert [letter.id for letter in await outbox.carried("m1")] == ["m2"]
            await outbox.sent("m3")
            assert await outbox.sent_since("oncall", START.replace(year=2020)) == [clock.now()]
            await outbox.dead("m1", "no such robot")
            await outbox.dead("m1", "told twice")
            states = await store.read(lambda tx: {row["state"]: row["n"] for row in tx.all("notice_counts")})
            assert states == {"dead": 2, "sent": 1, "ready": 2}
            night = await outbox.due("night", clock.now(), 10)
            assert [(letter.id, letter.payload["message"]) for letter in night] == [
                ("m1.night", "m1"),
                ("m2.night", "m2"),
            ]

    run(main())


def test_what_is_dead_is_listed_and_sent_once_more_under_the_same_id() -> None:
    async def main() -> None:
        async with shelf({}) as here:
            for name in ("m1", "m2", "m3"):
                await here.store.write(partial(_put, name=name))
            outbox = StoredOutbox(here.store)
            await outbox.merge("m1", ["m2"])
            await outbox.dead("m1", "HTTP 404")
            rows = await here.notices.listed(9, UTC)
            assert [(row["id"], row["state"], row["error"], row["told_with"]) for row in rows] == [
                ("m3", "ready", "", ""),
                ("m2", "dead", "HTTP 404", "m1"),
                ("m1", "dead", "HTTP 404", ""),
            ]
            assert [row["id"] for row in await here.notices.listed(9, UTC, state="ready", notifier="oncall")] == ["m3"]
            assert await here.notices.listed(9, UTC, notifier="night") == []
            assert await here.notices.send_again("wang", "m3") == []
            assert await here.notices.send_again("wang", "m2") == ["m2"]
            assert await here.notices.send_again("wang") == ["m1"]
            due = await outbox.due("oncall", here.clock.now(), 9)
            assert [(letter.id, letter.carries) for letter in due] == [("m1", False), ("m2", False), ("m3", False)]
            (first, _) = (await here.store.read(lambda tx: audit_page(tx, Wanted(), 0, 9, UTC)))["lines"][-2:]
            assert (first["what"], first["by"]) == ("notice.again", "wang")

    run(main())


def test_an_alarm_is_told_to_every_notifier_once_an_hour_and_tenant(tmp_path: Path) -> None:
    async def main() -> None:
        config = {"a": _notifier(tmp_path, "webhook"), "b": _notifier(tmp_path, "dingtalk")}
        async with shelf(config) as here:
            for _ in range(3):
                await here.notices.tell("prod", CEILING)
            assert len(await here.rows()) == 2
            (letter,) = await StoredOutbox(here.store).due("a", here.clock.now(), 9)
            assert letter.payload["title"] == "phinops holds writes back (prod)"
            assert (letter.payload["message"], letter.payload["severity"]) == ("500 writes", "critical")
            await here.notices.tell("dev", CEILING)
            await anyio.sleep(TELL_AGAIN)
            await here.notices.tell("prod", CEILING)
            assert len(await here.rows()) == 6
            await here.notices.tell("prod", Alarm("another", "phinops may not call X", "no"))
            assert len(await here.rows()) == 8

    run(main())


def test_an_alarm_that_cannot_be_recorded_is_told_all_the_same_and_once(tmp_path: Path) -> None:
    async def main() -> None:
        notifiers = {"a": _notifier(tmp_path, "webhook")}
        async with shelf(notifiers, [(0.0, 10.0)]) as here:
            await here.notices.tell("prod", CEILING)
            await here.notices.tell("prod", CEILING)
            assert await here.rows() == []
            (letter,) = here.notices._deliveries.unrecorded
            assert letter.payload["title"] == "phinops holds writes back (prod)"
            here.notices.replace(notifiers)
            assert here.notices._deliveries.unrecorded == [letter], "a reload does not lose it"
            await anyio.sleep(20)
            await here.notices.tell("prod", CEILING)
            assert await here.rows() == []

    run(main())


async def test_notifiers_are_replaced_while_they_deliver_or_stay_when_they_cannot_be(tmp_path: Path) -> None:
    taken: list[bytes] = []

    async def receive(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            taken.append(await stream.receive())
            await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with (
        Store.open(":memory:", SystemClock()) as store,
        Post() as post,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, receive)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        notices = Notices({}, store, post, SystemClock())
        group.start_soon(notices.run)
        await store.write(lambda tx: journal.put_notice(tx, "m1", None, 0, "a", {"message": "m"}))
        notices.wake()
        await anyio.wait_all_tasks_blocked()
        assert taken == []
        notices.replace({"a": _notifier(tmp_path, "webhook", f"http://127.0.0.1:{port}/hook")})
        with anyio.fail_after(10):
            while (await store.read(lambda tx: tx.all("notice_counts")))[0]["state"] != "sent":  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert taken[0].startswith(b"POST /hook")
        (tmp_path / "webhook-secret").unlink()
        missing = Notifier(type="webhook", url=Secret(file=tmp_path / "no"), secret=Secret(file=tmp_path / "no"))
        with pytest.raises(ConfigError):
            notices.replace({"b": missing})
        await store.write(lambda tx: journal.put_notice(tx, "m2", None, 0, "a", {"message": "m"}))
        notices.wake()
        with anyio.fail_after(10):
            while len(taken) < 2:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
