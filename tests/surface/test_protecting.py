"""Rules that are written to do what the config keeps them from doing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakedaemon import write_config
from phinops.config import load_config
from phinops.decide.load import load_rules
from phinops.problem import Problem
from phinops.rulebook import setting_of
from phinops.surface.protecting import protected_targets

SAFETY = '[safety]\nprotected = { nodes = ["n_12*", "dwd_pay_*"], projects = ["7", "finance*"] }\n'


def warned(folder: Path, step: str, safety: str = SAFETY) -> list[Problem]:
    """What is said of a rule with this one step."""
    config = load_config(write_config(folder, 1, safety))
    file = folder / "a.rules.yaml"
    file.write_text(f"rules:\n  - id: one\n    on: instance.failed\n    mode: armed\n    do: [ {step} ]\n")
    loaded = load_rules([file], setting_of(config))
    assert not loaded.errors, loaded.errors
    return list(protected_targets(config, loaded.rules))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{ pause_node: { node_id: n_123, project_id: 8 } }", "node n_123 is protected by «n_12*»"),
        ("{ resume_node: { node_id: n_9, project_id: 7 } }", "project 7 is protected by «7»"),
        (
            "{ call: PausePhysicalNode, with: { PauseCommand: { ProjectId: 8, NodeIdList: [n_123] } } }",
            "node n_123 is protected by «n_12*»",
        ),
    ],
)
def test_a_literal_target_that_is_protected_is_told(tmp_path: Path, step: str, said: str) -> None:
    (problem,) = warned(tmp_path, step)
    assert (problem.code, problem.severity, problem.line) == ("protected-target", "warning", 2)
    assert said in problem.message


@pytest.mark.parametrize(
    "step",
    [
        "{ pause_node: { node_id: n_9, project_id: 8 } }",
        '{ pause_node: { node_id: "n_12{{ event.id }}", project_id: 8 } }',
        "{ rerun_instance: {} }",
        "{ call: GetPhysicalNode, with: { NodeId: n_123 } }",
    ],
)
def test_others_reads_and_what_a_template_gives_are_not(tmp_path: Path, step: str) -> None:
    assert warned(tmp_path, step) == []


def test_without_anything_protected_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert warned(tmp_path, "{ pause_node: { node_id: n_123, project_id: 7 } }", "") == []
