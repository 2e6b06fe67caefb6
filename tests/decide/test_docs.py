"""What the documents promise about rules."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from phinops.decide.findings import CODES
from phinops.decide.load import load_rules
from phinops.decide.model import RuleModel
from phinops.event import ADDS
from settings import SETTING as PLAIN

SETTING = replace(PLAIN, hooks=frozenset({"deploy", "alertmanager", "gitlab"}))
DOCS = Path(__file__).parents[2] / "docs"
RULES = (DOCS / "rules.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", RULES, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("id: ")[-1].split("\n")[0][:30])
def test_every_example_is_free_of_mistakes(tmp_path: Path, text: str) -> None:
    for name in ("one-more-try", "pause-what-fails-forever", "rerun-gold"):
        (tmp_path / f"{name}.rules.yaml").write_text("rules: []\n")
    suffix = ".test.yaml" if text.startswith("tests:") else ".rules.yaml"
    file = tmp_path / f"example{suffix}"
    file.write_text(text, encoding="utf-8")
    assert [str(problem) for problem in load_rules([file], SETTING).problems] == []


def test_every_code_is_explained_and_no_other() -> None:
    explained = re.findall(r"^## (.*)$", (DOCS / "check-codes.md").read_text("utf-8"), re.MULTILINE)
    assert explained == list(CODES)


def test_the_keys_events_and_steps_that_there_are_are_listed() -> None:
    events = ADDS.keys()
    for name in [*(field.alias or key for key, field in RuleModel.model_fields.items()), *events, *SETTING.kinds]:
        assert re.search(rf"`{re.escape(name)}[`:]", RULES), name
