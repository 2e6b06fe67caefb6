from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from certificates import self_signed
from counting import MemoryLedger
from loopback import ok, serving
from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import QuotaPlan
from phinops.clock import SystemClock
from phinops.errors import ConfigError, Transient
from phinops.execute.limit import Limiter, Priority
from phinops.execute.send import Client, Endpoint
from phinops.execute.steps.http import Request
from phinops.execute.web import NotSent, Reply, Web

INSTANCE = {"ProjectId": 7, "InstanceId": "t_1"}


class OneKey:
    def read(self) -> tuple[str, str]:
        return "key", "secret"

    write = read


def client(url: str, **more: Any) -> Client:
    clock = SystemClock()
    limiter = Limiter("a", QuotaPlan({}, {}), MemoryLedger(), clock, timeout=5, zone=ZoneInfo("UTC"))
    endpoint = Endpoint(url=url, op_tenant_id=1, edition="private", timeout_s=5, **more)
    return Client(endpoint, OneKey(), limiter, load_catalog(), clock)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As private deployments have them."""
    return self_signed(tmp_path_factory.mktemp("tls") / "private-ca.pem")


async def _on_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.mark.parametrize(("host", "reached"), [("ops.example", True), ("other.example", False)])
async def test_a_request_by_name_goes_to_its_address_and_believes_only_that_name(
    certificate: Path, host: str, reached: bool
) -> None:
    trusting = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=certificate))
    async with (
        serving(lambda got: ok(), tls=server_side(certificate)) as server,
        Web(transport=trusting, resolve=_on_loopback) as web,
    ):
        request = Request("GET", server.url.replace("127.0.0.1", host), {}, b"")
        if reached:
            assert isinstance(await web.send(request), Reply)
            assert server.got[0].headers["host"].startswith("ops.example:")
        else:
            with pytest.raises(NotSent, match="no connection"):
                await web.send(request)
            assert server.got == []


async def test_a_request_to_whom_nobody_vouches_for_does_not_leave(certificate: Path) -> None:
    async with serving(lambda got: ok(), tls=server_side(certificate)) as server, Web() as web:
        with pytest.raises(NotSent, match="no connection"):
            await web.send(Request("POST", server.url, {}, b"{}"))
        assert server.got == []


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_private_authority_is_trusted_when_its_file_is_given(certificate: Path) -> None:
    async with (
        serving(lambda got: ok(), tls=server_side(certificate)) as server,
        client(server.url, ca_file=certificate) as it,
    ):
        await it.read("GetPhysicalInstance", INSTANCE, priority=Priority.POLL)
    assert server.got[0].headers["host"] == server.url.removeprefix("https://")


async def test_an_unknown_authority_is_refused_before_anything_is_sent(certificate: Path) -> None:
    async def prepare() -> Mapping[str, Any]:
        return {"OperateCommand": {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "t"}]}}

    async with serving(lambda got: ok(), tls=server_side(certificate)) as server, client(server.url) as it:
        with pytest.raises(Transient, match="certificate verify failed"):
            await it.write("OperateInstance", prepare)
    assert server.got == []


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_file_without_authorities_is_refused_at_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"ca_file .*ca\.pem"):
        async with client("https://127.0.0.1:1", ca_file=path):
            pytest.fail("opened")


async def test_a_proxy_is_used_when_given_and_never_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(lambda got: ok()) as server:
        async with client(server.url) as it:
            await it.read("GetPhysicalInstance", INSTANCE, priority=Priority.POLL)
        async with client("http://dataphin.example", proxy=server.url) as it:
            await it.read("GetPhysicalInstance", INSTANCE, priority=Priority.POLL)
    assert server.got[0].target.startswith("/?")
    assert server.got[1].target.startswith("http://dataphin.example/?")
    assert server.got[1].headers["host"] == "dataphin.example"


async def test_a_proxy_that_refuses_to_connect_leaves_a_write_undone() -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async def prepare() -> Mapping[str, Any]:
        return {"OperateCommand": {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "t"}]}}

    closed = asyncio.Event()
    server = await asyncio.start_server(refusing, "127.0.0.1", 0)
    proxy = f"http://user:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    it = client("https://dataphin.example", proxy=proxy)
    async with it:
        with pytest.raises(Transient, match="407") as caught:
            await it.write("OperateInstance", prepare)
    assert "hush" not in str(caught.value)
    async with asyncio.timeout(5):
        await closed.wait()
    server.close()
    await server.wait_closed()


def test_a_proxy_password_shows_in_no_repr() -> None:
    assert "hush" not in repr(Endpoint(url="https://h", op_tenant_id=1, edition="basic", proxy="http://u:hush@p"))
