"""The config and the rules of a rehearsal: a daemon as one would run it, that acts on failures and notes the rest."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from phinops.config import Config
from phinops.simulate import Simulator

TENANT = "rehearsal"

ENDPOINT = "http://127.0.0.1:9"
"""Nobody listens there: calls go another way."""

VERIFIED_WITHIN = timedelta(minutes=30)

_RULES = """\
rules:
  - id: rerun-what-failed
    description: Rerun what failed, twice at most, and see whether that helped.
    on: instance.failed
    if: event.instance.attempts < 3
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 30m }

  - id: note-alerts
    description: What a notice about alerts would be.
    on: [alert.opened, alert.closed]
    mode: shadow
    do:
      - notify: { to: nobody, message: "{{ event.alert.reason }}: {{ event.alert.object.name }}" }
"""

_RULE_ON_IMPACTS = """
  - id: note-impacts
    description: What a notice about failing APIs would be.
    on: impact.opened
    mode: shadow
    do:
      - notify: { to: nobody, message: "{{ event.api.name }} fails" }
"""


def make_config(simulator: Simulator, folder: Path, every: timedelta | None, *, impacts: bool) -> Config:
    """The config for the tenant of `simulator`; keys and rules are written into `folder`, the store is in memory.

    `every` fixes the interval of the instances, None leaves it to the budget; `impacts`: there is a rule on those too.
    """
    secrets = {
        "key-id": simulator.access_key_id,
        "key-secret": simulator.access_key_secret,
        "url": "http://127.0.0.1:9/",
        "secret": "whsec_cmVoZWFyc2VkIGFuZCBuZXZlciBzZW50",
    }
    for name, value in secrets.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(value, encoding="utf-8")
    rules = folder / "rehearsal.rules.yaml"
    rules.write_text(_RULES + (_RULE_ON_IMPACTS if impacts else ""), encoding="utf-8")
    interval: timedelta | Literal["auto"] = every or "auto"
    document = {
        "timezone": "Asia/Shanghai",
        "tenants": [
            {
                "name": TENANT,
                "endpoint": ENDPOINT,
                "op_tenant_id": simulator.op_tenant_id,
                "edition": simulator.edition,
                "access_key_id": {"file": folder / "key-id"},
                "access_key_secret": {"file": folder / "key-secret"},
                "sources": {"instances": {"every": interval}},
            }
        ],
        "notifiers": {
            "nobody": {"type": "webhook", "url": {"file": folder / "url"}, "secret": {"file": folder / "secret"}}
        },
        "rules": {"paths": [rules]},
    }
    return Config.model_validate(document)
