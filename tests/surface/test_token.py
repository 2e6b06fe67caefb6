from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from phinops.config import Config, load_config
from phinops.errors import StoreError
from phinops.surface.token import find_tokens, write_token

MINIMAL = """\
[[tenants]]
name = "prod"
endpoint = "http://127.0.0.1:1"
op_tenant_id = 1
edition = "basic"
access_key_id = { env = "KEY_ID" }
access_key_secret = { env = "KEY_SECRET" }
[server]
token = { env = "OPS_TOKEN" }
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("OPS_TOKEN", "of-the-config")
    (tmp_path / "phinops.toml").write_text(MINIMAL)
    return load_config(tmp_path / "phinops.toml")


def test_the_token_is_for_the_daemon_s_user_and_group(tmp_path: Path, config: Config) -> None:
    mask = os.umask(0o077)
    try:
        token = write_token(tmp_path)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o640
    assert len(token) >= 40
    assert list(find_tokens(config)) == [token, "of-the-config"]


def test_each_start_makes_a_new_token(tmp_path: Path, config: Config) -> None:
    (tmp_path / ".token.new").write_text("left over by a crash")
    first, second = write_token(tmp_path), write_token(tmp_path)
    assert first != second
    assert next(find_tokens(config)) == second


def test_without_a_readable_token_only_the_config_s_is_left(config: Config) -> None:
    assert list(find_tokens(config)) == ["of-the-config"]


def test_a_state_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*token: No such file or directory"):
        write_token(tmp_path / "none")
