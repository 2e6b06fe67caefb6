"""What rules say of the probe of a call can be tried like all else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trials import failures

RULES = """\
rules:
  - id: add
    on: hook.deploy
    mode: armed
    do:
      - id: member
        call: AddProjectMember
        with: { Id: 7, AddCommand: { Env: PROD, UserList: [ { UserId: "{{ event.body.user }}" } ] } }
        probe:
          call: ListProjectMembers
          with: { Id: 7, ListQuery: { PageNo: 1, PageSize: 100 } }
          if: has(reply.Users) && reply.Users.exists(each, each == sent.AddCommand.UserList[0].UserId)
        verify: { within: 10m }
"""
EVENT = "  - event: { type: hook.deploy, body: { user: '9' } }\n"
THERE = "  - answer: { api: ListProjectMembers, body: { Users: [ '9' ] }, times: always }\n"


@pytest.mark.parametrize(
    "steps",
    [
        # Nothing shows, then it does.
        EVENT + "  - expect: { actions: [ { call: AddProjectMember, outcome: accepted } ] }\n" + THERE
        + "  - advance: 10m\n  - expect: { actions: [], ended: [ { rule: add, state: done, reason: '', steps: { member:"
        " verified } } ] }\n",
        # It is so already.
        THERE + EVENT + "  - expect: { actions: [], ended: [ { rule: add, steps: { member: skipped } } ] }\n",
        # The answer is lost, and the probe tells that it was done.
        "  - answer: { api: AddProjectMember, fault: timeout }\n" + EVENT + "  - advance: 11s\n" + THERE
        + "  - advance: 11m\n  - expect: { ended: [ { rule: add, steps: { member: verified } } ] }\n",
        # Nobody could tell afterwards.
        "  - answer: { api: ListProjectMembers, body: { Users: 3 }, times: always }\n" + EVENT
        + "  - expect: { actions: [], ended: [ { rule: add, state: failed, steps: { member: refused } } ] }\n",
    ],
)  # fmt: skip
def test_a_call_with_a_probe_does_in_a_test_what_it_does_in_the_daemon(tmp_path: Path, steps: str) -> None:
    assert failures(tmp_path, RULES, "\nsteps:\n" + steps) == []
