"""What works, what does not, and what to do about it: each thing that phinops needs is tried once, by reading only.

A finding that is `bad` keeps phinops from its work; `warning` will, or keeps it from part of it; of what is `unknown`
something else that failed kept the doctor from finding out.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from phinops.config import Config, Secret, Tenant
from phinops.errors import ConfigError
from phinops.event import JsonObject

State = Literal["ok", "warning", "bad", "unknown"]

CLOCK_NEAR, CLOCK_FAR = 30.0, 600.0
"""Seconds that the machine's clock may differ from Dataphin's: before it is worth a word, and before calls are refused
(their dates may be 15 minutes off at most, as far as is known)."""

ROOM = 200 * 1024 * 1024
"""Bytes that should be free where the store lies."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing. `about` is a tenant, a notifier or a hook, or "". `cure` is what to do, or ""."""

    check: str
    state: State
    said: str
    cure: str = ""
    about: str = ""

    def to_json(self) -> JsonObject:
        """As `phinops doctor --json` prints it."""
        return {
            "check": self.check,
            "about": self.about,
            "state": self.state,
            "said": self.said,
            "cure": self.cure,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a call: its `body`, or why there is none. `code` is Dataphin's, "" where none came.

    `reached`: Dataphin answered at all.
    """

    body: Mapping[str, Any] | None
    reason: str = ""
    code: str = ""
    reached: bool = True


Ask = Callable[[str, str, JsonObject], Awaitable[Reply]]
"""Makes one read of a tenant, by its name, through the limiter and the ledger: the API and its parameters."""

_KEY_CURES: Mapping[str, str] = {
    "InvalidAccessKeyId": "the access key id is not known there: is it of this account, enabled, and for a private "
    "deployment one made in Dataphin (User Center > API Access)?",
    "SignatureDoesNotMatch": "the secret does not belong to the access key id",
    "IncompleteSignature": "the secret does not belong to the access key id",
    "InvalidTimeStamp": "the machine's clock is wrong: synchronise it",
    "Forbidden": "let an administrator add the key's RAM user to the Dataphin tenant and allow it the OpenAPI",
    "NoPermission": "let an administrator add the key's RAM user to the Dataphin tenant and allow it the OpenAPI",
}


async def examine(config: Config, ask: Ask, status: JsonObject | None) -> AsyncGenerator[Finding]:
    """Every finding in the order of what builds on what. `status` is that of the daemon, None while none runs."""
    yield _daemon(config, status)
    for finding in _store(config):
        yield finding
    for tenant in config.tenants:
        keys = list(_keys(tenant))
        for finding in keys:
            yield finding
        if any(finding.state == "bad" for finding in keys):
            yield Finding("Dataphin", "unknown", "not asked: a key is missing", about=tenant.name)
            continue
        async for finding in _dataphin(tenant, ask):
            yield finding
    for name, notifier in config.notifiers.items():
        secrets = {"url": notifier.url, "secret": notifier.secret}
        yield _secrets("notifier", name, secrets)
    for name, hook in config.hooks.items():
        yield _secrets("hook", name, {"secret": hook.secret})


def quota_findings(status: JsonObject) -> Iterator[Finding]:
    """What is left of each tenant's quota, and how far the machine's clock is from Dataphin's, from a status."""
    for tenant in status["tenants"]:
        for pool in tenant["quota"]:
            yield _pool(tenant["name"], pool)
        offset = tenant.get("clock_offset_s")
        if offset is not None:
            yield _clock(tenant["name"], float(offset))


def _daemon(config: Config, status: JsonObject | None) -> Finding:
    where = config.server.listen
    if status is None:
        return Finding("daemon", "warning", f"none answers at {where}", "start it: `systemctl start phinops`")
    if status["ready"]:
        return Finding("daemon", "ok", f"runs at {where}, and is ready")
    reasons = "; ".join(status["reasons"])
    return Finding("daemon", "bad", f"runs at {where}, and is not ready: {reasons}", "mend what it names")


def _store(config: Config) -> Iterator[Finding]:
    path = config.store.path
    folder = next(each for each in (path.parent, *path.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    said = f"{path}: {_size(path)}, {free / 1e9:.1f} GB free"
    if free < ROOM:
        yield Finding("store", "warning", said, "make room: without any, no write to Dataphin leaves")
    elif not path.exists():
        yield Finding("store", "ok", f"{path}: not there yet, {free / 1e9:.1f} GB free")
    else:
        yield Finding("store", "ok", said)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB" if path.exists() else "not there yet"


def _keys(tenant: Tenant) -> Iterator[Finding]:
    named = {
        "access_key_id": tenant.access_key_id,
        "access_key_secret": tenant.access_key_secret,
        "write_access_key_id": tenant.write_access_key_id,
        "write_access_key_secret": tenant.write_access_key_secret,
    }
    yield _secrets("keys", tenant.name, named)


def _secrets(check: str, about: str, named: Mapping[str, Secret | None]) -> Finding:
    """Whether each secret can be read; what it is is told to nobody."""
    for name, secret in named.items():
        try:
            if secret is not None:
                secret.reveal()
        except ConfigError as error:
            return Finding(check, "bad", f"{name}: {error}", "put it where the config says it is", about)
    return Finding(check, "ok", "every secret can be read", about=about)


async def _dataphin(tenant: Tenant, ask: Ask) -> AsyncGenerator[Finding]:
    """Whether the service answers, lets the key in, and shows what is to be looked after."""
    tenants = await ask(tenant.name, "GetMyTenants", {})
    yield _connection(tenant, tenants)
    if tenants.body is None:
        yield Finding("rights", "unknown", "not asked: Dataphin did not answer well", about=tenant.name)
        return
    yield _rights(tenant, await ask(tenant.name, "GetMyRoles", {}))
    query = {"ListQuery": {"PageNo": 1, "PageSize": 100}}
    yield _projects(tenant, await ask(tenant.name, "ListProjects", query))
    if tenant.served_projects:
        yield _served(tenant, await ask(tenant.name, "GetDataServiceMyProjects", {}))


def _connection(tenant: Tenant, reply: Reply) -> Finding:
    if reply.body is not None:
        return Finding("Dataphin", "ok", f"{tenant.endpoint} answers, and knows the key", about=tenant.name)
    if not reply.reached:
        cure = "is the endpoint right? Is a proxy (`proxy`) needed, or for a private certificate `ca_file`?"
        return Finding("Dataphin", "bad", f"{tenant.endpoint} does not answer: {reply.reason}", cure, tenant.name)
    cure = next((cure for code, cure in _KEY_CURES.items() if reply.code.startswith(code)), "")
    cure = cure or "look the code up in Dataphin's documents; is op_tenant_id right?"
    return Finding("Dataphin", "bad", reply.reason, cure, tenant.name)


def _rights(tenant: Tenant, reply: Reply) -> Finding:
    if reply.body is None:
        return Finding("rights", "warning", f"the key's roles cannot be read: {reply.reason}", "", tenant.name)
    roles = [_name(each) for each in reply.body.get("RoleList") or ()]
    if roles:
        return Finding("rights", "ok", f"the key's owner is {', '.join(roles)}", about=tenant.name)
    cure = "writes will be forbidden: give the key's owner a role that may operate, such as operator of its projects"
    return Finding("rights", "warning", "the key's owner has no role", cure, tenant.name)


def _name(role: object) -> str:
    if isinstance(role, Mapping):
        return str(next((role[key] for key in ("RoleName", "Name", "RoleCode", "Code") if role.get(key)), role))
    return str(role)


def _projects(tenant: Tenant, reply: Reply) -> Finding:
    if reply.body is None:
        return Finding("projects", "bad", f"projects cannot be listed: {reply.reason}", "", tenant.name)
    page = reply.body.get("PageResult") or {}
    rows = page.get("ProjectList") or page.get("Data") or []
    count = page.get("TotalCount") or len(rows)
    if not count:
        cure = "let an administrator add the key's owner to the projects that phinops is to look after"
        return Finding("projects", "bad", "the key's owner sees no project", cure, tenant.name)
    if tenant.projects == "all":
        return Finding("projects", "ok", f"{count} projects are watched", about=tenant.name)
    known = {str(row.get(key)) for row in rows for key in ("Id", "Name", "DisplayName")}
    missing = [each for each in tenant.projects if each not in known]
    if missing and count <= len(rows):
        cure = "correct `projects` in the config, or add the key's owner to them"
        return Finding("projects", "warning", f"not seen: {', '.join(missing)}", cure, tenant.name)
    return Finding("projects", "ok", f"{len(tenant.projects)} projects are watched, of {count}", about=tenant.name)


def _served(tenant: Tenant, reply: Reply) -> Finding:
    if reply.body is None:
        cure = f"is the edition really {tenant.edition}? Without a data service write `data_service_projects = []`"
        said = f"data service projects cannot be read: {reply.reason}"
        return Finding("edition", "warning", said, cure, tenant.name)
    return Finding("edition", "ok", f"the data service of the {tenant.edition} edition answers", about=tenant.name)


def _pool(tenant: str, pool: Mapping[str, Any]) -> Finding:
    levels, used, limit, reserve = (pool[key] for key in ("pool", "used", "limit", "reserve"))
    if limit is None:
        return Finding("quota", "ok", f"levels {levels}: {used} calls today, no limit", about=tenant)
    said = f"levels {levels}: {used} of {limit} calls of the day are used"
    if used >= limit:
        return Finding(
            "quota", "bad", said, "nothing is sent before midnight; `phinops quota` tells who spent it", tenant
        )
    if used >= limit - reserve:
        return Finding(
            "quota", "warning", said, "polls rest until midnight; `phinops quota` tells who spent it", tenant
        )
    return Finding("quota", "ok", said, about=tenant)


def _clock(tenant: str, offset: float) -> Finding:
    said = f"the machine's clock is {abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} Dataphin's"
    if abs(offset) < CLOCK_NEAR:
        return Finding("clock", "ok", "the machine's clock agrees with Dataphin's", about=tenant)
    state: State = "bad" if abs(offset) > CLOCK_FAR else "warning"
    return Finding("clock", state, said, "synchronise it, by NTP", tenant)
