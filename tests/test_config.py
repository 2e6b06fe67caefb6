from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from phinops.config import Config, Secret, check_config, find_config, load_config
from phinops.config.places import Places
from phinops.errors import ConfigError

MINIMAL = """\
[[tenants]]
name = "prod"
endpoint = "https://dataphin-public.cn-shanghai.aliyuncs.com"
op_tenant_id = 30001011
edition = "basic"
access_key_id = { env = "KEY_ID" }
access_key_secret = { env = "KEY_SECRET" }
"""

FULL = (
    """\
timezone = "Europe/Berlin"
"""
    + MINIMAL
    + """\
env = "DEV"
write_access_key_id = { file = "id" }
write_access_key_secret = { credential = "write" }
signature = "rpc_v1"
ca_file = "private-ca.pem"
proxy = "http://proxy:3128"
projects = [1, "two"]
data_service_projects = ["7"]
timeout = "5s"
settle_after = "5s"
biz_date_format = "%Y%m%d"
auto_rerun = { times = 1, every = "5m" }

[tenants.quota]
account = "main"
share = 0.5
action_reserve = 0.1
qps = { "1" = 50, "2+3" = 20 }
daily = { "1+2" = 50000, "3" = 10000 }
levels = { GetInstanceDownStream = 1 }

[tenants.sources]
lookback = "2h"
alerts = { every = "30s" }
impacts = { every = "1m", window = "5m" }

[notifiers.oncall]
type = "dingtalk"
url = { env = "ONCALL_URL" }

[hooks.deploy]
secret = { env = "DEPLOY" }

[rules]
paths = ["rules", "/srv/rules"]
at_most = "shadow"

[safety]
max_writes_per_hour = 5

[store]
url = "sqlite:///state/x.db"

[server]
listen = "0.0.0.0:80"
token = { file = "token" }
"""
)


def written(folder: Path, text: str) -> Path:
    path = folder / "phinops.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    """Line, column and code of each problem, then its message."""
    config, found = check_config(written(folder, text))
    assert config is None
    return [f"{each.line}:{each.column} {each.code} {each.message}" for each in found]


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def with_tenant(line: str) -> str:
    """The minimal config with one more line, the eighth."""
    return MINIMAL + line + "\n"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "PHINOPS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_not_said_has_its_documented_default(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    tenant = config.tenants[0]
    assert config.timezone == ZoneInfo("Asia/Shanghai")
    assert (tenant.env, tenant.signature, tenant.projects, tenant.served_projects) == ("PROD", "acs3", "all", "all")
    assert (tenant.timeout, tenant.settle_after) == (timedelta(seconds=10), timedelta(seconds=15))
    assert tenant.biz_date_format == "%Y-%m-%d"
    assert (tenant.quota.share, tenant.quota.action_reserve, tenant.quota.qps) == (1.0, 0.2, None)
    assert (tenant.sources.lookback, tenant.sources.impacts.window) == (timedelta(hours=1), timedelta(minutes=10))
    assert tenant.sources.instances.every == "auto"
    assert config.rules.paths == (tmp_path / "rules",)
    assert (config.rules.at_most, config.safety.max_writes_per_hour) == ("armed", 500)
    assert config.store.path == tmp_path / "phinops.db"
    assert (config.server.host, config.server.port, config.server.token) == ("127.0.0.1", 8642, None)
    assert (config.file, config.state_folder) == (tmp_path / "phinops.toml", tmp_path)


def test_everything_that_can_be_said_is_understood(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL))
    tenant = config.tenants[0]
    assert tenant.projects == ("1", "two")
    assert tenant.served_projects == ("7",)
    assert tenant.ca_file == tmp_path / "private-ca.pem"
    assert tenant.write_access_key_id == Secret(file=tmp_path / "id")
    assert tenant.auto_rerun is not None
    assert tenant.auto_rerun.every == timedelta(minutes=5)
    assert tenant.quota.qps == {"1": 50, "2+3": 20}
    assert tenant.quota.levels == {"GetInstanceDownStream": 1}
    assert tenant.sources.alerts.every == timedelta(seconds=30)
    assert config.notifiers["oncall"].type == "dingtalk"
    assert config.rules.paths == (tmp_path / "rules", Path("/srv/rules"))
    assert config.store.path == tmp_path / "state/x.db"
    assert config.server.host == "0.0.0.0"
    assert config.tenant("prod") is tenant
    assert config.tenant("test") is None


@pytest.mark.parametrize(("edition", "watched"), [("personal", ()), ("agile", ()), ("intelligent", "all")])
def test_data_services_are_watched_from_basic_on(tmp_path: Path, edition: str, watched: object) -> None:
    config = load_config(written(tmp_path, MINIMAL.replace('"basic"', f'"{edition}"')))
    assert config.tenants[0].served_projects == watched
    stated = load_config(written(tmp_path, with_tenant('data_service_projects = "all"').replace("basic", edition)))
    assert stated.tenants[0].served_projects == "all"


def test_a_relative_store_lies_in_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/phinops:/var/lib/other")
    config = load_config(written(tmp_path, MINIMAL))
    assert config.store.path == Path("/var/lib/phinops/phinops.db")
    assert load_config(written(tmp_path, FULL.replace("/state/x", "//srv/x"))).store.path == Path("/srv/x.db")


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
timezone = "Asia/Shangai"
bogus = 1
[[tenants]]
name = "prod"
endpoint = "https://x.aliyuncs.com"
op_tenant_id = 1
edition = "basik"
access_key_id = { env = "A" }
timeuot = "10s"
  settle_after = 5
[tenants.sources]
alerts = { every = "auto", evry = "1m" }
[server]
listen = "8642"
"""
    assert problems(tmp_path, text) == [
        "1:12 bad-value `timezone`: no time zone is called «Asia/Shangai»: did you mean «Asia/Shanghai»?",
        "2:1 unknown-key `bogus` is not a key of the file; it knows timezone, tenants, notifiers, hooks, rules,"
        " safety, store, server",
        "3:1 missing-key `access_key_secret` is missing in [tenants]",
        "7:11 bad-value `edition`: must be one of personal, agile, basic, intelligent, private: did you mean «basic»?",
        "9:1 unknown-key `timeuot` is not a key of [tenants]: did you mean «timeout»?",
        "10:18 bad-value `settle_after`: «5» is not a duration: write a number with a unit, such as 90s, 15m,"
        " 1h30m or 2d",
        "12:28 unknown-key `evry` is not a key of [tenants.sources.alerts]: did you mean «every»?",
        "14:10 bad-value `listen`: must be HOST:PORT, such as 127.0.0.1:8642",
    ]


@pytest.mark.parametrize(
    ("line", "column", "part"),
    [
        ('settle_after = "9s"', 16, "at least `timeout`"),
        ('timeout = "20s"', 11, "at most `settle_after`"),
        ('write_access_key_id = { env = "W" }', 23, "come together"),
        ('timeout = "0s"', 11, "longer than nothing"),
        ('projects = "some"', 12, '"all" or a list'),
        ("projects = [1.5]", 12, '"all" or a list'),
        ('biz_date_format = "%Y"', 19, "tell the days apart"),
        ('proxy = "proxy"', 9, "must be http://HOST:PORT"),
        ('proxy = "http://proxy:0"', 9, "must be http://HOST:PORT"),
        ('proxy = "http://proxy:x"', 9, "must be http://HOST:PORT"),
        ("quota = { share = 0 }", 19, "greater than 0"),
        ("quota = { action_reserve = 1 }", 28, "less than 1"),
        ('quota = { qps = { "1" = 5, "1+2" = 5 } }', 17, "level 1 is in two pools"),
        ('quota = { daily = { "4" = 5 } }', 19, "«4» is not a level"),
        ("quota = { levels = { GetInstanceDownStreem = 1 } }", 20, "did you mean «GetInstanceDownStream»?"),
        ("quota = { levels = { GetInstanceDownStream = 4 } }", 46, "less than or equal to 3"),
        ('sources = { alerts = { every = "often" } }', 32, "«often» is not a duration"),
        ("sources = { alerts = { every = 30 } }", 32, "«30» is not a duration"),
    ],
)
def test_a_bad_value_is_told_where_it_begins(tmp_path: Path, line: str, column: int, part: str) -> None:
    found = only(problems(tmp_path, with_tenant(line)))
    assert found.startswith(f"8:{column} bad-value ")
    assert part in found


def test_an_edition_without_a_published_quota_must_state_it(tmp_path: Path) -> None:
    text = MINIMAL.replace('"basic"', '"private"')
    assert "5:11 bad-value `edition`: state the quota" in only(problems(tmp_path, text))
    config, found = check_config(written(tmp_path, text + 'quota = { qps = { "1+2+3" = 10 } }\n'))
    assert config is not None
    assert found == []


@pytest.mark.parametrize("name", ["127.0.0.1:8080", "localhost", "[::1]:80"])
def test_plain_http_is_for_loopback(tmp_path: Path, name: str) -> None:
    address = "https://dataphin-public.cn-shanghai.aliyuncs.com"
    assert load_config(written(tmp_path, MINIMAL.replace(address, f"http://{name}"))).tenants


@pytest.mark.parametrize(
    ("endpoint", "part"),
    [
        ("http://10.0.0.1", "http:// is for loopback only"),
        ("dataphin-public.cn-shanghai.aliyuncs.com", "must be https://HOST"),
        ("ftp://x", "must be https://HOST"),
        ("https://x/path", "must be https://HOST"),
        ("https://me:pw@x", "must not hold a login"),
    ],
)
def test_an_endpoint_is_a_safe_address(tmp_path: Path, endpoint: str, part: str) -> None:
    found = problems(tmp_path, MINIMAL.replace("https://dataphin-public.cn-shanghai.aliyuncs.com", endpoint))
    assert found[0].startswith("3:12 bad-value `endpoint`:")
    assert part in found[0]
    assert "pw" not in found[0]


@pytest.mark.parametrize("value", ['"LTAI5tSecretValue"', '["LTAI5tSecretValue"]', '{ value = "LTAI5tSecretValue" }'])
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, value: str) -> None:
    found = only(problems(tmp_path, MINIMAL.replace('{ env = "KEY_ID" }', value)))
    assert found.startswith("6:17 secret-inline") or "unknown-key" in found
    assert "LTAI5tSecretValue" not in found


def test_the_error_for_a_secret_in_the_file_tells_the_cure(tmp_path: Path) -> None:
    found = only(problems(tmp_path, MINIMAL.replace('{ env = "KEY_ID" }', '"LTAI5t"')))
    assert '{ file = "PATH" }' in found
    assert '{ credential = "NAME" }' in found


def test_a_secret_has_one_place(tmp_path: Path) -> None:
    found = problems(tmp_path, MINIMAL.replace('{ env = "KEY_ID" }', '{ env = "A", file = "B" }'))
    assert "name one place" in only(found)


def test_proxies_with_a_login_are_for_later(tmp_path: Path) -> None:
    found = only(problems(tmp_path, with_tenant('proxy = "http://me:pw@proxy:1"')))
    assert found == "8:9 not-yet `proxy`: proxies that ask for a login are not in this version yet"


def test_a_type_of_notifier_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    text = MINIMAL + '[notifiers.a]\ntype = "pigeon"\nurl = { env = "U" }\n'
    assert only(problems(tmp_path, text)) == (
        "9:8 bad-value `type`: must be one of webhook, dingtalk, feishu, wecom, slack, email, apprise"
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('type = "slack"\nsecret = { env = "S" }', "a notifier of type slack has no `secret`"),
        ('type = "email"\nfrom = "a@b"\nto = "c@d"\nmentions = ["x"]', "a notifier of type email has no `mentions`"),
        ('type = "slack"\nto = "c@d"', "a notifier of type slack has no `to`"),
        ('type = "email"\nto = "c@d"', "email needs `from`"),
        ('type = "email"\nfrom = "a@b"', "email needs `to`"),
        ('type = "email"\nfrom = "a@b"\nto = ["c"]', "«c» is no address"),
        ('type = "email"\nfrom = "a@b"\nto = "c@d"\nusername = "u"', "`username` and `secret`"),
        ('type = "slack"\nfallback = "b"', "there is no notifier «b»"),
        ('type = "slack"\nfallback = "a"', "leads back to itself: a -> a"),
        ('type = "slack"\nlanguage = "fr"', "must be one of en, zh"),
    ],
)
def test_what_a_notifier_cannot_have_is_told(tmp_path: Path, keys: str, said: str) -> None:
    found = problems(tmp_path, MINIMAL + f'[notifiers.a]\n{keys}\nurl = {{ env = "U" }}\n')
    assert said in only(found)


def test_a_notifier_of_email_with_a_fallback_is_read(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + '[notifiers.a]\ntype = "email"\nurl = { env = "U" }\nfrom = "a@b"\nto = ["c@d", "e@f"]\nfallback = "b"\n'
        + '[notifiers.b]\ntype = "feishu"\nurl = { env = "U" }\nmentions = ["all"]\nlanguage = "zh"\n'
    )
    found, _ = check_config(written(tmp_path, text))
    assert found is not None
    assert found.notifiers["a"].to == ("c@d", "e@f")


def test_a_webhook_needs_what_signs_it(tmp_path: Path) -> None:
    found = problems(tmp_path, MINIMAL + '[notifiers.a]\ntype = "webhook"\nurl = { env = "U" }\n')
    assert only(found).startswith("8:1 bad-value `a`: a webhook is signed")


@pytest.mark.parametrize(
    ("url", "code"),
    [("postgresql://db/x", "not-yet"), ("sqlite://x.db", "bad-value"), ("x.db", "bad-value")],
)
def test_the_store_is_a_file(tmp_path: Path, url: str, code: str) -> None:
    assert only(problems(tmp_path, MINIMAL + f'[store]\nurl = "{url}"\n')).startswith(f"9:7 {code} `url`")


def test_paths_of_rules_are_a_list(tmp_path: Path) -> None:
    found = only(problems(tmp_path, MINIMAL + '[rules]\npaths = "rules"\n'))
    assert found == "9:9 bad-value `paths`: must be a list"


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "ops.example.com:8642"])
def test_other_machines_may_only_come_in_with_a_token(tmp_path: Path, listen: str) -> None:
    text = MINIMAL + f'[server]\nlisten = "{listen}"\n'
    assert "give a `token`" in only(problems(tmp_path, text))
    assert load_config(written(tmp_path, text + 'token = { file = "t" }\n')).server.token


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "[::1]:1", "localhost:65535"])
def test_loopback_needs_no_token(tmp_path: Path, listen: str) -> None:
    assert load_config(written(tmp_path, MINIMAL + f'[server]\nlisten = "{listen}"\n')).server.listen == listen


@pytest.mark.parametrize(
    "url", ["https://ops.example.com", "https://ops.example.com/phinops/", "http://127.0.0.1:8642"]
)
def test_links_lead_to_the_address_under_which_people_come(tmp_path: Path, url: str) -> None:
    found = load_config(written(tmp_path, MINIMAL + f'[server]\npublic_url = "{url}"\n')).server.public_url
    assert found == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://ops.example.com", "must not travel in the clear"),
        ("ops.example.com", "must be https://HOST"),
        ("https://ops.example.com/?a=b", "must be https://HOST"),
        ("https://anna:secret@ops.example.com", "must not hold a login"),
    ],
)
def test_an_address_that_links_must_not_lead_to_is_refused(tmp_path: Path, url: str, said: str) -> None:
    told = only(problems(tmp_path, MINIMAL + f'[server]\npublic_url = "{url}"\n'))
    assert said in told
    assert "secret" not in told


def test_a_port_beyond_the_last_is_refused(tmp_path: Path) -> None:
    assert "HOST:PORT" in only(problems(tmp_path, MINIMAL + '[server]\nlisten = "127.0.0.1:70000"\n'))


def test_tenants_have_names_of_their_own(tmp_path: Path) -> None:
    found = only(problems(tmp_path, MINIMAL + MINIMAL))
    assert found == "9:8 bad-value `name`: another tenant is called «prod» too"


def test_tenants_of_one_account_have_one_quota(tmp_path: Path) -> None:
    second = MINIMAL.replace('"prod"', '"test"')
    assert load_config(written(tmp_path, MINIMAL + second)).tenants[1].name == "test"
    found = only(problems(tmp_path, MINIMAL + second + "quota = { share = 0.5 }\n"))
    assert (
        found == "8:1 bad-value `tenants`: shares its account with tenant prod, so edition and quota must be the same"
    )
    other = second.replace('"KEY_ID"', '"OTHER"').replace('"basic"', '"agile"')
    assert load_config(written(tmp_path, MINIMAL + other)).tenants[1].edition == "agile"


def test_a_config_needs_a_tenant(tmp_path: Path) -> None:
    assert only(problems(tmp_path, "tenants = []\n")) == "1:11 bad-value `tenants`: at least one tenant is needed"
    assert only(problems(tmp_path, "")) == "1:1 missing-key `tenants` is missing in the file"


def test_names_are_plain_words(tmp_path: Path) -> None:
    found = problems(tmp_path, MINIMAL + '[hooks."de ploy"]\nsecret = { env = "S" }\n')
    assert only(found).startswith("8:1 bad-value `de ploy`: «de ploy» is not a name")


@pytest.mark.parametrize(
    ("text", "place"),
    [('a = "\n', "1:6"), ("a = 1\na = 2\n", "2:6"), ("[x\n", "1:3"), ("a = [1,\n", "2:1"), ("a = 1 = 2", "1:7")],
)
def test_what_is_not_toml_is_told_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    assert only(problems(tmp_path, text)).startswith(f"{place} toml-syntax ")


def test_a_file_that_cannot_be_read_is_a_problem_too(tmp_path: Path) -> None:
    config, found = check_config(tmp_path / "none.toml")
    assert config is None
    assert [(each.code, each.message) for each in found] == [
        ("file-unreadable", "cannot be read: No such file or directory")
    ]
    (tmp_path / "latin.toml").write_bytes(b"# \xe4\n")
    assert [each.message for each in check_config(tmp_path / "latin.toml")[1]] == ["is not UTF-8 text: byte 2"]


def test_loading_a_broken_config_tells_every_problem(tmp_path: Path) -> None:
    path = written(tmp_path, "a = 1\n" + MINIMAL + "b = 2\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert [each.line for each in caught.value.problems] == [1, 9]
    assert str(caught.value).startswith(f"{path}: 2 mistakes\n{path}:1:1: unknown-key")
    with pytest.raises(ConfigError, match="1 mistake\n"):
        load_config(written(tmp_path, "a = 1\n" + MINIMAL))


def test_the_config_is_searched_where_the_contract_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("x.toml") == Path("x.toml")
    assert find_config() in (None, Path("/etc/phinops/phinops.toml"))
    written(tmp_path, MINIMAL)
    assert find_config() == Path("phinops.toml")
    monkeypatch.setenv("PHINOPS_CONFIG", "/elsewhere.toml")
    assert find_config() == Path("/elsewhere.toml")
    assert find_config("x.toml") == Path("x.toml")


def test_a_secret_of_the_environment_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret\n")
    assert Secret(env="KEY").reveal() == "s3cret"
    monkeypatch.delenv("KEY")
    with pytest.raises(ConfigError, match="env KEY is missing or empty"):
        Secret(env="KEY").reveal()


def test_a_secret_of_a_file_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("s3cret\r\n")
    path.chmod(0o640)
    secret = Secret(file=path)
    assert secret.reveal() == "s3cret"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"everybody may read the secret .*chmod o-rwx"):
        secret.reveal()


def test_a_secret_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Secret(file=tmp_path / "none").reveal()
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="Is a directory"):
        Secret(file=tmp_path / "folder").reveal()
    binary = tmp_path / "binary"
    binary.touch(mode=0o600)
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text"):
        Secret(file=binary).reveal()
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    with pytest.raises(ConfigError, match="missing or empty"):
        Secret(file=empty).reveal()


def test_a_credential_comes_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(credential="key")
    with pytest.raises(ConfigError, match="needs systemd's LoadCredential=key:PATH"):
        secret.reveal()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", os.fspath(tmp_path))
    with pytest.raises(ConfigError, match="cannot be read"):
        secret.reveal()
    (tmp_path / "key").write_text("s3cret\n")
    assert secret.reveal() == "s3cret"


def test_no_secret_shows_in_what_is_printed_of_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_ID", "LTAI5tVisible")
    config = load_config(written(tmp_path, MINIMAL))
    secret = config.tenants[0].access_key_id
    assert secret.reveal() == "LTAI5tVisible"
    assert str(secret) == "env KEY_ID"
    assert "LTAI5tVisible" not in f"{config!r}{config}{config.model_dump_json()}"


def test_configs_can_be_made_without_a_file() -> None:
    config = Config.model_validate(
        {
            "tenants": [
                {
                    "name": "a",
                    "endpoint": "http://127.0.0.1:1",
                    "op_tenant_id": 1,
                    "edition": "agile",
                    "access_key_id": Secret(env="A"),
                    "access_key_secret": Secret(env="B"),
                    "timeout": timedelta(seconds=1),
                    "data_service_projects": None,
                }
            ],
            "timezone": ZoneInfo("UTC"),
        }
    )
    assert (config.file, config.store.path, config.timezone) == (None, Path("phinops.db"), ZoneInfo("UTC"))


def test_places_are_found_in_every_form_that_toml_has() -> None:
    text = '''\
# a comment
"quoted key".'other' = 1   # another
text = """
[not.a.table] = "1"
\\""" still text"""
literal = \'\'\'
x = 1\'\'\'\'
list = [ 1, # one
  [2, 3], { a = 1, b.c = "x#y" },
]
date = 1979-05-27 07:32:00

[[a.b]]
x = 1
[a.b.c]
y = "]"
[[a.b]]
[[a.b.d]]
z = \'\\'
[a.b.d.e]'''
    places = Places(text)
    assert places.key(("quoted key", "other")) == (2, 14)
    assert places.value(("quoted key", "other")) == (2, 24)
    assert places.value(("text",)) == (3, 8)
    assert places.value(("list", 1, 1)) == (9, 7)
    assert places.key(("list", 2, "b", "c")) == (9, 22)
    assert places.value(("date",)) == (11, 8)
    assert places.key(("a", "b", 0, "x")) == (14, 1)
    assert places.value(("a", "b", 0, "c", "y")) == (16, 5)
    assert places.key(("a", "b", 1)) == (17, 1)
    assert places.value(("a", "b", 1, "d", 0, "z")) == (19, 5)
    assert places.key(("a", "b", 1, "d", 0, "e")) == (20, 1)
    assert places.key(("a", "b", 1, "missing")) == (17, 1)
    assert places.key(("nowhere",)) == (1, 1)
