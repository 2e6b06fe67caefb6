"""Whatever stands in a file, reading it never fails, and what is accepted is printed and read again the same."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phinops.decide.filemodel import FileModel
from phinops.decide.language import Language
from phinops.decide.lasting import STATES
from phinops.decide.load import Loaded, load_rules
from phinops.decide.model import LimitsModel, RuleModel, StepModel, VerifyModel, WindowModel
from phinops.decide.printing import print_rules
from phinops.event import ADDS
from settings import SETTING

pytestmark = pytest.mark.long

LONG = bool(os.environ.get("PHINOPS_LONG"))
MANY = settings(
    max_examples=10_000 if LONG else 200,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
LANGUAGE = Language(SETTING.zone)

GOOD = [
    file.read_bytes()
    for folder in ("rules", "daemon/phinops/surface/templates")
    for file in sorted((Path(__file__).parents[2] / folder).glob("*.yaml"))
]
"""Files without a mistake, rules and tests."""

FAULTY = [file.read_bytes() for file in sorted(Path(__file__).with_name("faulty").glob("*.yaml"))]

KEYS = sorted(
    {
        field.alias or name
        for model in (FileModel, RuleModel, StepModel, LimitsModel, VerifyModel, WindowModel)
        for name, field in model.model_fields.items()
    }
    | SETTING.kinds.keys()
    | {field.alias or name for kind in SETTING.kinds.values() for name, field in kind.params.model_fields.items()}
    | {"tests", "steps", "event", "expect", "advance", "state", "actions", "schedule", "hook", "name", "type"}
)
WORDS = (
    *ADDS, "true", "event.id", "1h", "5m", "0 6 * * *", "armed", "oncall", "deploy", "hook.deploy", "GetMyRoles",
    "{{ now }}", "{{ event.id", "steps.a.outcome", "a", "<<", "*a", "&a", "!x",
)  # fmt: skip


PIECES = [
    word.encode() for word in (*WORDS, *KEYS, *[": ", "\n  - ", "{", "}", "]", '"', "'", "\t", " #", ">\n", "\r"])
]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def read(data: bytes, place: Path, suffix: str = ".rules.yaml") -> Loaded:
    """What is made of a file with these bytes; every finding stands in the file, or at the end of it."""
    file = place / f"one{suffix}"
    file.write_bytes(data)
    found = load_rules([file], SETTING, LANGUAGE)
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for problem in found.problems:
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert problem.message
        assert "\n" not in problem.message
    assert found.errors or not found.quarantined
    return found


def is_read_again(found: Loaded, place: Path) -> None:
    """What the rules are printed as is the same rules again."""
    printed = print_rules(found.rules, SETTING.kinds)
    again = read(printed.encode(), place)
    assert [str(problem) for problem in again.errors] == []
    assert _bare(again) == _bare(found), printed
    assert again.rules.hash == found.rules.hash


def _bare(found: Loaded) -> list[Any]:
    return [(dataclasses.replace(rule, file="", line=0, column=1), rule.hash) for rule in found.rules]


@MANY
@given(data=st.binary(max_size=400), suffix=st.sampled_from([".rules.yaml", ".test.yaml"]))
def test_any_bytes_are_read(place: Path, data: bytes, suffix: str) -> None:
    read(data, place, suffix)


@MANY
@given(text=st.text(max_size=400), suffix=st.sampled_from([".rules.yaml", ".test.yaml"]))
def test_any_text_is_read(place: Path, text: str, suffix: str) -> None:
    read(text.encode(errors="replace"), place, suffix)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(WORDS)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)
RULE = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b"]), "on": st.sampled_from(WORDS), "do": st.lists(VALUES, max_size=2)},
    optional=dict.fromkeys(("if", "for", "mode", "key", "limits", "within", "cooldown", "description"), VALUES),
)
DOCUMENTS = VALUES | st.fixed_dictionaries({"rules": st.lists(RULE | VALUES, max_size=3)}, optional={"vars": VALUES})


@MANY
@given(document=DOCUMENTS, flow=st.booleans())
def test_any_yaml_is_read(place: Path, document: Any, flow: bool) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True)
    is_read_again(read(text.encode(), place), place)
    read(text.encode(), place, ".test.yaml")


@st.composite
def mutations(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A file with a few of its pieces taken out, doubled, or replaced by something that belongs elsewhere."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 30)))
        piece = draw(st.just(b"") | st.just(data[begin:end] * 2) | st.binary(max_size=4) | st.sampled_from(PIECES))
        data = data[:begin] + piece + data[end:]
    return data


@MANY
@given(data=mutations(GOOD + FAULTY), suffix=st.sampled_from([".rules.yaml", ".test.yaml"]))
def test_what_became_of_a_file_is_read(place: Path, data: bytes, suffix: str) -> None:
    found = read(data, place, suffix)
    is_read_again(found, place)


SPANS = st.builds(
    "{}{}".format, st.floats(0.001, 1e6).map(lambda number: f"{number:f}"), st.sampled_from(["ms", "s", "m", "h", "d"])
)
CONDITIONS = st.sampled_from(
    ["true", 'event.id != ""', "event.instance.attempts < 3\n&& true", "has(event.raw.x)", "now > event.time"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{"), min_size=1, max_size=60)
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19) + 1, 10**19 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
WAITS = st.floats(0.001, 3e7).map("{:f}s".format)
RETRIES = st.integers(0, 20)
NOTICES = st.fixed_dictionaries({"to": st.just("oncall") | st.just(["oncall"]), "message": TEXTS})
STEPS = st.one_of(
    st.fixed_dictionaries({"rerun_instance": st.just({}) | st.just({"instance_id": "t_1", "project_id": 7})}, optional={
        "verify": st.fixed_dictionaries({"within": SPANS}),
        "on_error": st.sampled_from(["stop", "continue"]),
        "if": CONDITIONS,
        "retry": RETRIES,
    }),
    st.fixed_dictionaries({"notify": NOTICES}, optional={"retry": RETRIES}),
    st.fixed_dictionaries({"wait": WAITS | st.fixed_dictionaries({"until": CONDITIONS, "timeout": WAITS})}),
    st.fixed_dictionaries({"emit": st.fixed_dictionaries({"type": st.just("custom.x.y")}, optional={
        "data": st.dictionaries(TEXTS, TREES, max_size=3),
    })}),
    st.fixed_dictionaries({"http": st.fixed_dictionaries({"url": st.just("https://a.example/b?c=1")}, optional={
        "method": st.sampled_from(["POST", "PUT", "DELETE"]),
        "headers": st.dictionaries(st.sampled_from(["X-One", "Accept"]), st.sampled_from(["a", "b: c", "1"])),
        "body": TEXTS | st.dictionaries(TEXTS, TREES, max_size=3),
    })}, optional={"retry": RETRIES, "on_error": st.just("continue")}),
    st.just({"call": "GetMyRoles"}),
    st.just({"call": "GetPhysicalInstance", "with": {"InstanceId": "{{ event.instance.id }}", "ProjectId": 1}}),
)  # fmt: skip
INSTANCES = ["instance.failed", "instance.blocked", "instance.running"]
AFTER = st.integers(1, 10**6).map("{}s".format)
TRIGGERS = st.one_of(
    st.sampled_from(["instance.failed", ["instance.failed", "instance.blocked"]]),
    st.fixed_dictionaries({"event": st.sampled_from(INSTANCES), "count": st.integers(2, 10**6), "within": SPANS}),
    st.fixed_dictionaries({"all": st.lists(st.sampled_from(INSTANCES), min_size=2, unique=True), "within": SPANS}),
    st.fixed_dictionaries(
        {"event": st.just("instance.failed"), "absent": st.just("instance.succeeded"), "within": SPANS}
    ),
    st.fixed_dictionaries({"event": st.just("instance.stuck"), "state": st.sampled_from(STATES), "after": AFTER}),
    st.fixed_dictionaries({"event": st.just("instance.overdue"), "after": AFTER}),
)
HOURS = st.sampled_from(["22:00-08:00", "00:00-24:00", ["08:30-12:00", "13:00-18:00"]])
DAYS = st.sampled_from(["all", "workdays", "holidays", "mon-fri", "sat-mon", ["mon", "wed-thu"]])
ZONES = st.sampled_from(["Asia/Shanghai", "Europe/Berlin"])
CALENDARS = st.fixed_dictionaries({"hours": HOURS}, optional={"days": DAYS, "zone": ZONES}) | st.fixed_dictionaries(
    {"days": DAYS}
)
ACTIVE = CALENDARS | st.just("nights") | st.lists(CALENDARS | st.just("nights"), min_size=1, max_size=3)
VALID = st.fixed_dictionaries(
    {
        "id": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).map(lambda name: f"r{name}"),
        "on": TRIGGERS,
        "mode": st.sampled_from(["off", "shadow", "armed"]),
        "do": st.lists(STEPS, min_size=1, max_size=3),
    },
    optional={
        "description": TEXTS,
        "if": CONDITIONS,
        "for": SPANS,
        "active": ACTIVE,
        "key": st.sampled_from(["event.node.id", '"one"']),
        "cooldown": SPANS,
        "concurrency": st.sampled_from(["single", "queued", "restart", "parallel"]),
        "max_age": SPANS,
        "limits": st.fixed_dictionaries(
            {}, optional={
                "firings": st.fixed_dictionaries({"max": st.integers(1, 10**9), "per": SPANS}),
                "targets": st.fixed_dictionaries({"max": st.integers(1, 9), "per": SPANS}),
                "downstream": st.fixed_dictionaries({"max": st.integers(0, 9)}),
            }
        ),
        "within": st.sampled_from(["5m", "12.5s", "24h"]),
    },
)  # fmt: skip


@MANY
@given(
    rules=st.lists(VALID, min_size=1, max_size=3, unique_by=lambda rule: str(rule["id"])),
    names=st.dictionaries(TEXTS, TREES, max_size=3),
    nights=CALENDARS,
)
def test_what_is_accepted_is_printed_and_read_again(
    place: Path, rules: list[Any], names: dict[str, Any], nights: dict[str, Any]
) -> None:
    for rule in rules:
        if "absent" in rule["on"]:  # it waits already
            rule.pop("for", None)
    document = {"vars": names, "calendars": {"nights": nights}, "rules": rules}
    text = yaml.safe_dump(document, default_style='"')  # bare, `0E0` is a number to YAML 1.2
    found = read(text.encode(), place)
    assert [str(problem) for problem in found.errors] == []
    assert len(found.rules) == len(rules)
    is_read_again(found, place)
