"""What the doctor finds, of a Dataphin that answers as told and of the simulator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.config import Config, load_config
from phinops.event import JsonObject
from phinops.surface.doctor import Finding, Reply, examine, quota_findings

CONFIG = """
[[tenants]]
name = "prod"
endpoint = "https://dataphin.example"
op_tenant_id = 1
edition = "EDITION"
access_key_id = { file = "key-id" }
access_key_secret = { file = "key-secret" }
PROJECTS

[notifiers.oncall]
type = "slack"
url = { file = "url" }

[hooks.deploy]
secret = { env = "NOT_SET_ANYWHERE" }
"""
GOOD: Mapping[str, Reply] = {
    "GetMyTenants": Reply({"TenantList": [{}]}),
    "GetMyRoles": Reply({"RoleList": [{"Name": "opsEngineer"}]}),
    "ListProjects": Reply({"PageResult": {"ProjectList": [{"Id": 7, "Name": "retail"}], "TotalCount": 1}}),
    "GetDataServiceMyProjects": Reply({"ProjectList": []}),
}


@dataclass(slots=True)
class Patient:
    """A config in a folder, and a Dataphin that answers `replies`; `asked` are the calls."""

    folder: Path
    replies: Mapping[str, Reply] = field(default_factory=lambda: GOOD)
    edition: str = "basic"
    projects: str = ""
    asked: list[str] = field(default_factory=list)

    def config(self) -> Config:
        for name in ("key-id", "key-secret", "url"):
            path = self.folder / name
            if not path.exists():
                path.touch(0o600)
                path.write_text(f"{name}-t0ps3cret")
        path = self.folder / "phinops.toml"
        path.write_text(CONFIG.replace("EDITION", self.edition).replace("PROJECTS", self.projects))
        return load_config(path)

    async def ask(self, tenant: str, api: str, params: JsonObject) -> Reply:
        self.asked.append(api)
        return self.replies[api]

    def examined(self, status: JsonObject | None = None) -> dict[str, Finding]:
        """The findings by what they are of; of hooks and notifiers with their name."""
        config = self.config()

        async def all_of_them() -> list[Finding]:
            return [finding async for finding in examine(config, self.ask, status)]

        found = anyio.run(all_of_them)
        assert "t0ps3cret" not in str(found)
        return {finding.check: finding for finding in found}


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def states(found: Mapping[str, Finding]) -> dict[str, str]:
    return {name: finding.state for name, finding in found.items()}


def test_where_all_is_well_only_what_is_missing_is_told(patient: Patient) -> None:
    found = patient.examined({"ready": True, "reasons": []})
    assert states(found) == {
        "daemon": "ok", "store": "ok", "keys": "ok", "Dataphin": "ok", "rights": "ok", "projects": "ok",
        "edition": "ok", "notifier": "ok", "hook": "bad",
    }  # fmt: skip
    assert "NOT_SET_ANYWHERE" in found["hook"].said
    assert patient.asked == ["GetMyTenants", "GetMyRoles", "ListProjects", "GetDataServiceMyProjects"]


def test_every_finding_that_is_not_well_has_a_cure_or_a_reason(patient: Patient) -> None:
    for finding in patient.examined().values():
        assert finding.state == "ok" or finding.cure or finding.state == "unknown"


@pytest.mark.parametrize(
    ("reply", "said", "cure"),
    [
        (Reply(None, "no route", reached=False), "does not answer: no route", "proxy"),
        (Reply(None, "x", "InvalidAccessKeyId.NotFound"), "x", "User Center"),
        (Reply(None, "x", "SignatureDoesNotMatch"), "x", "the secret does not belong"),
        (Reply(None, "x", "InvalidTimeStamp.Expired"), "x", "clock"),
        (Reply(None, "x", "Forbidden.RAM"), "x", "RAM user"),
        (Reply(None, "x", "DPN.Filter.Something"), "x", "op_tenant_id"),
    ],
)
def test_a_dataphin_that_does_not_answer_well_is_told_with_its_cure_and_asked_no_more(
    patient: Patient, reply: Reply, said: str, cure: str
) -> None:
    patient.replies = {"GetMyTenants": reply}
    found = patient.examined()
    assert (found["Dataphin"].state, found["rights"].state) == ("bad", "unknown")
    assert said in found["Dataphin"].said
    assert cure in found["Dataphin"].cure


def test_a_key_that_cannot_be_read_is_told_and_nothing_is_asked(patient: Patient) -> None:
    config = patient.config()
    assert config.tenants
    (patient.folder / "key-secret").chmod(0o644)
    found = patient.examined()
    assert (found["keys"].state, found["Dataphin"].state) == ("bad", "unknown")
    assert "access_key_secret" in found["keys"].said
    assert patient.asked == []


def test_missing_rights_projects_and_editions_are_told(patient: Patient) -> None:
    patient.projects = 'projects = ["retail", "finance"]'
    patient.replies = {
        **GOOD,
        "GetMyRoles": Reply({"RoleList": []}),
        "GetDataServiceMyProjects": Reply(None, "the edition does not have it", "DPN.Edition"),
    }
    found = patient.examined()
    assert states(found)["rights"] == states(found)["projects"] == states(found)["edition"] == "warning"
    assert found["projects"].said == "not seen: finance"
    patient.replies = {**patient.replies, "ListProjects": Reply({"PageResult": {"ProjectList": []}})}
    assert patient.examined()["projects"].state == "bad"


def test_a_small_edition_is_not_asked_for_a_data_service(patient: Patient) -> None:
    patient.edition = "agile"
    assert "edition" not in patient.examined()
    assert "GetDataServiceMyProjects" not in patient.asked


def test_a_daemon_that_is_not_ready_says_why(patient: Patient) -> None:
    found = patient.examined({"ready": False, "reasons": ["source alerts of prod is stale"]})
    assert found["daemon"].state == "bad"
    assert "source alerts of prod is stale" in found["daemon"].said


@pytest.mark.parametrize(
    ("used", "limit", "state"), [(10, 100, "ok"), (80, 100, "warning"), (100, 100, "bad"), (9, None, "ok")]
)
def test_the_quota_is_told_by_what_is_left(used: int, limit: int | None, state: str) -> None:
    pool = {"pool": "1+2", "used": used, "limit": limit, "reserve": 20}
    (finding,) = quota_findings({"tenants": [{"name": "prod", "quota": [pool]}]})
    assert finding.state == state


@pytest.mark.parametrize(("offset", "state"), [(3.0, "ok"), (-45.0, "warning"), (900.0, "bad")])
def test_a_clock_that_is_off_is_told(offset: float, state: str) -> None:
    (finding,) = quota_findings({"tenants": [{"name": "prod", "quota": [], "clock_offset_s": offset}]})
    assert finding.state == state
    assert state == "ok" or ("behind" if offset > 0 else "ahead") in finding.said


def test_findings_are_json(patient: Patient) -> None:
    rows: list[dict[str, Any]] = json.loads(json.dumps([each.to_json() for each in patient.examined().values()]))
    assert all(set(row) == {"check", "about", "state", "said", "cure"} for row in rows)
