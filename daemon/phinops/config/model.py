"""The tables of `phinops.toml`, with their defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from phinops.catalog.catalog import Edition
from phinops.config.fields import (
    Amount,
    DateFormat,
    Every,
    Globs,
    Levels,
    LocalPath,
    Mistake,
    Model,
    Names,
    Pools,
    Size,
    Span,
    Word,
    Zone,
    is_loopback,
    refuse,
)
from phinops.config.hook import Hook, hook_mistakes
from phinops.config.notifier import Notifier, fallback_mistakes
from phinops.config.secret import Secret

ZONE = ZoneInfo("Asia/Shanghai")
"""The time zone of a config that names none, and of rules without a config."""


class TenantQuota(Model):
    """What of the account's quota this daemon may use. `qps` and `daily` replace the edition's when given."""

    account: str | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    action_reserve: Annotated[float, Field(ge=0, lt=1)] = 0.2
    qps: Pools | None = None
    daily: Pools | None = None
    levels: Levels = Field(default_factory=dict)


class SourceSettings(Model):
    """How often a source asks: "auto" leaves it to the budget."""

    every: Every = "auto"


class ImpactSettings(SourceSettings):
    """`window` is the span of calls that one impact speaks of."""

    window: Span = timedelta(minutes=10)


class TenantSources(Model):
    """What is polled. `lookback` is the age up to which changes are events when the store is still empty."""

    lookback: Span = timedelta(hours=1)
    alerts: SourceSettings = SourceSettings()
    instances: SourceSettings = SourceSettings()
    impacts: ImpactSettings = ImpactSettings()


class AutoRerun(Model):
    """How Dataphin itself reruns failed instances of the tenant."""

    times: Amount
    every: Span


class Tenant(Model):
    """One Dataphin tenant and how to reach it."""

    name: Word
    endpoint: str
    op_tenant_id: int
    edition: Edition
    env: Literal["PROD", "DEV"] = "PROD"
    access_key_id: Secret
    access_key_secret: Secret
    write_access_key_id: Secret | None = None
    write_access_key_secret: Secret | None = None
    signature: Literal["acs3", "rpc_v1"] = "acs3"
    ca_file: LocalPath | None = None
    proxy: str | None = None
    projects: Names = "all"
    data_service_projects: Names | None = None
    timeout: Span = timedelta(seconds=10)
    settle_after: Span = timedelta(seconds=15)
    biz_date_format: DateFormat = "%Y-%m-%d"
    auto_rerun: AutoRerun | None = None
    quota: TenantQuota = TenantQuota()
    sources: TenantSources = TenantSources()

    @property
    def served_projects(self) -> Literal["all"] | tuple[str, ...]:
        """The data service projects to watch: unless told, all from Basic on and none below."""
        if self.data_service_projects is not None:
            return self.data_service_projects
        return () if self.edition in ("personal", "agile") else "all"

    @property
    def account(self) -> str:
        """Equal for tenants that share limiter and ledger, as far as the config alone can tell."""
        return f"{self.quota.account or self.access_key_id} at {self.endpoint.rstrip('/')}"

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        refuse((*_address_mistakes(self), *_tenant_mistakes(self)))
        return self


class RulesSection(Model):
    """Where the rules lie, and the most that any of them may do."""

    paths: tuple[LocalPath, ...] = Field(default=(Path("rules"),), validate_default=True)
    at_most: Literal["armed", "shadow"] = "armed"


class Breakers(Model):
    """After so many failures in a row a rule, or a target, is left alone for `open_for`."""

    rule: Amount = 10
    target: Amount = 3
    open_for: Span = timedelta(hours=1)


class Protected(Model):
    """Globs over ids and names of what is not written to."""

    nodes: Globs = ()
    projects: Globs = ()


class Safety(Model):
    """Limits over all rules together."""

    max_writes_per_hour: Annotated[int, Field(ge=0)] = 500
    protected: Protected = Protected()
    breakers: Breakers = Breakers()


def _store_url(value: str, info: ValidationInfo) -> str:
    scheme, _, rest = value.partition("://")
    if scheme in ("postgresql", "postgres"):
        raise ValueError("postgresql:// is not in this version yet: use sqlite:///PATH")
    if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
        raise ValueError("must be sqlite:///PATH")
    context = info.context or {}
    base = context.get("state") or context.get("base")
    return f"sqlite:///{base / Path(rest[1:]).expanduser()}" if base is not None else value


KEPT_AT_LEAST = timedelta(days=2)
"""What happened since then is never pruned: guards, causes and posts that come again are judged by it."""

LEAST_SIZE = 50_000_000


class StoreSection(Model):
    """The database of events, decisions, actions and quota.

    A relative one lies in `$STATE_DIRECTORY` if that is set, else beside the config. Once read it is absolute.

    What is over is kept for `keep`, the audit for `keep_audit`; and less of both when it is more than `max_size` bytes.
    """

    url: Annotated[str, AfterValidator(_store_url)] = Field(default="sqlite:///phinops.db", validate_default=True)
    keep: Span = timedelta(days=30)
    keep_audit: Span = timedelta(days=400)
    max_size: Size = 4_000_000_000

    @model_validator(mode="after")
    def _keeps_enough(self) -> Self:
        refuse(_retention_mistakes(self))
        return self

    @property
    def path(self) -> Path:
        """The file of the store."""
        return Path(self.url.removeprefix("sqlite:///"))


def _retention_mistakes(store: StoreSection) -> Iterator[Mistake]:
    if store.keep < KEPT_AT_LEAST:
        yield ("keep",), "must be at least 2d: guards and causes look back as far"
    if store.keep_audit < store.keep:
        place = "keep_audit" if "keep_audit" in store.model_fields_set else "keep"
        yield (place,), "`keep_audit`, which is 400d where it is not given, must be at least `keep`"
    if store.max_size < LEAST_SIZE:
        yield ("max_size",), "must be at least 50MB"


def _listen(value: str) -> str:
    if not re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[^:\[\]/]+):\d{1,5}", value) or int(value.rpartition(":")[2]) > 65535:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8642")
    return value


def _public_url(value: str) -> str:
    parts = _split(value)
    if value and (parts is None or parts.scheme not in ("https", "http") or parts.query or parts.fragment):
        raise ValueError("must be https://HOST, under which people reach phinops")
    if parts and _has_login(parts):
        raise ValueError("must not hold a login")
    if parts and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("http:// is for loopback only: links that answer must not travel in the clear, use https://")
    return value.rstrip("/")


class Server(Model):
    """Where the API, the metrics and the hooks are served."""

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8642"
    token: Secret | None = None
    public_url: Annotated[str, AfterValidator(_public_url)] = ""

    @property
    def host(self) -> str:
        """The name or address, without the brackets of IPv6."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 lets the machine choose one."""
        return int(self.listen.rpartition(":")[2])

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            cure = f'other machines can reach {self.host}: give a `token`, such as {{ file = "token" }}'
            refuse([(("listen",), cure)])
        return self


class Config(Model):
    """The whole file."""

    timezone: Zone = ZONE
    tenants: tuple[Tenant, ...]
    notifiers: dict[Word, Notifier] = Field(default_factory=dict)
    hooks: dict[Word, Hook] = Field(default_factory=dict)
    rules: RulesSection = RulesSection()
    safety: Safety = Safety()
    store: StoreSection = StoreSection()
    server: Server = Server()
    _file: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        self._file = (context or {}).get("file")

    @property
    def file(self) -> Path | None:
        """The file that this was read from, absolute."""
        return self._file

    @property
    def state_folder(self) -> Path:
        """Where the store, its lock and the token for the CLI lie."""
        return self.store.path.parent

    def tenant(self, name: str) -> Tenant | None:
        """The tenant of that name."""
        return next((tenant for tenant in self.tenants if tenant.name == name), None)

    @model_validator(mode="after")
    def _tenants_agree(self) -> Self:
        names = [tenant.name for tenant in self.tenants]
        refuse(
            (
                *_disagreements(self.tenants),
                *fallback_mistakes(self.notifiers),
                *hook_mistakes(self.hooks, names),
            )
        )
        return self


def _address_mistakes(tenant: Tenant) -> Iterator[Mistake]:
    address = _split(tenant.endpoint)
    if address is None or address.scheme not in ("http", "https") or address.path not in ("", "/") or address.query:
        yield ("endpoint",), "must be https://HOST, without a path"
    elif _has_login(address):
        yield ("endpoint",), "must not hold a login: the keys are `access_key_id` and `access_key_secret`"
    elif address.scheme == "http" and not is_loopback(address.hostname or ""):
        yield ("endpoint",), "http:// is for loopback only: calls must not travel in the clear, use https://"
    proxy = _split(tenant.proxy or "")
    if tenant.proxy is not None and (proxy is None or proxy.scheme not in ("http", "https")):
        yield ("proxy",), "must be http://HOST:PORT"
    elif proxy is not None and _has_login(proxy):
        yield ("proxy",), "proxies that ask for a login are not in this version yet"


def _has_login(address: SplitResult) -> bool:
    return address.username is not None or address.password is not None


def _split(url: str) -> SplitResult | None:
    """The parts of a URL with a host and a usable port, or None."""
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _tenant_mistakes(tenant: Tenant) -> Iterator[Mistake]:
    if tenant.settle_after < tenant.timeout and "settle_after" in tenant.model_fields_set:
        yield ("settle_after",), "must be at least `timeout`: until then the call may still be under way"
    elif tenant.settle_after < tenant.timeout:
        yield ("timeout",), "must be at most `settle_after`, which is 15s where it is not given"
    pair = ("write_access_key_id", "write_access_key_secret")
    given = [name for name in pair if getattr(tenant, name) is not None]
    if len(given) == 1:
        yield (given[0],), f"`{pair[0]}` and `{pair[1]}` come together"
    if tenant.edition == "private" and tenant.quota.qps is None:
        cure = 'state the quota of a private deployment in [tenants.quota], such as qps = { "1+2+3" = 10 }'
        yield ("edition",), cure


def _disagreements(tenants: Sequence[Tenant]) -> Iterator[Mistake]:
    if not tenants:
        yield ("tenants",), "at least one tenant is needed"
    names: set[str] = set()
    accounts: dict[str, Tenant] = {}
    for index, tenant in enumerate(tenants):
        if tenant.name in names:
            yield ("tenants", index, "name"), f"another tenant is called «{tenant.name}» too"
        names.add(tenant.name)
        first = accounts.setdefault(tenant.account, tenant)
        if (first.edition, first.quota) != (tenant.edition, tenant.quota):
            cure = f"shares its account with tenant {first.name}, so edition and quota must be the same"
            yield ("tenants", index), cure
