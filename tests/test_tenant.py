"""What a tenant is served with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phinops.clock import SystemClock
from phinops.config import Config, load_config
from phinops.execute.daycount import PoolUse
from phinops.execute.priority import Priority
from phinops.record.sqlite import Store
from phinops.tenant import Keys, calls_left, limiters
from served import private, served

TENANT = """
[[tenants]]
name = "{name}"
endpoint = "{endpoint}"
op_tenant_id = 1
edition = "basic"
access_key_id = {{ file = "{key}" }}
access_key_secret = {{ file = "{key}" }}
{more}
"""


def _config(folder: Path, *tenants: dict[str, str]) -> Config:
    for name in ("k1", "k2", "k3"):
        private(folder / name, f"value-of-{name}")
    plain = {"endpoint": "http://127.0.0.1:1", "key": "k1", "more": ""}
    path = folder / "phinops.toml"
    path.write_text("".join(TENANT.format(**{**plain, "name": f"t{n}", **each}) for n, each in enumerate(tenants)))
    return load_config(path)


def test_verifications_may_use_what_the_scarcest_of_their_pools_has_left() -> None:
    pools = [PoolUse("1", 30, 100, 20), PoolUse("2", 10, 15, 3), PoolUse("3", 7, None, 0)]
    assert calls_left(pools, {1}) == 70
    assert calls_left(pools, {1, 2}) == 5
    assert calls_left(pools, {3}) is None
    assert calls_left([PoolUse("1+2+3", 101, 100, 20)], {1}) == 0
    assert calls_left([PoolUse("1+2+3", 1, 100, 20, spent=True)], {1}) == 0


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ({"key": "k1"}, True),
        ({"key": "k2"}, False),
        ({"key": "k1", "endpoint": "http://127.0.0.1:2"}, False),
        ({"key": "k2", "more": "quota = { account = 'one' }"}, False),
    ],
)
async def test_tenants_of_one_account_share_a_limiter(tmp_path: Path, other: dict[str, str], shared: bool) -> None:
    config = _config(tmp_path, {}, other)
    async with (
        Store.open(":memory:") as store,
        limiters(config.tenants, store, SystemClock(), config.timezone) as found,
    ):
        assert (found["t0"] is found["t1"]) == shared


async def test_a_named_account_is_shared_whatever_the_keys(tmp_path: Path) -> None:
    named = {"more": "quota = { account = 'one' }"}
    config = _config(tmp_path, {**named, "key": "k1"}, {**named, "key": "k2"}, {"key": "k3"})
    async with (
        Store.open(":memory:") as store,
        limiters(config.tenants, store, SystemClock(), config.timezone) as found,
    ):
        assert found["t0"] is found["t1"]
        assert found["t2"] is not found["t0"]


def test_writes_have_a_key_of_their_own_where_there_is_one_and_files_are_read_anew(tmp_path: Path) -> None:
    own = "write_access_key_id = { file = 'k2' }\nwrite_access_key_secret = { file = 'k3' }"
    one, other = (Keys(tenant) for tenant in _config(tmp_path, {"more": own}, {}).tenants)
    assert one.read() == ("value-of-k1", "value-of-k1")
    assert one.write() == ("value-of-k2", "value-of-k3")
    assert other.write() == other.read()
    private(tmp_path / "k2", "new")
    assert one.write()[0] == "new"


async def test_a_store_that_cannot_be_written_at_the_end_leaves_the_calls_counted(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", extra='timeout = "1s"\nsettle_after = "1s"\n') as here:
        await here.daemon._parts.servings["prod"].client.read("GetMyTenants", {}, priority=Priority.DECIDE)
        connection: Any = here.daemon._parts.store._backend.committer.connection
        connection.execute("PRAGMA query_only = ON")


async def test_an_edition_without_data_services_has_no_source_for_them(tmp_path: Path) -> None:
    async with served(tmp_path, "rules: []", edition="agile") as here:
        assert [source.name for source in here.daemon._parts.servings["prod"].sources] == ["alerts", "instances"]
