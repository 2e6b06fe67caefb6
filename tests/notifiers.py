"""A config with two notifiers, and a rule that tells TO."""

from __future__ import annotations

from fakedaemon import config_text

CONFIG = config_text(
    more="""
[notifiers.oncall]
type = "dingtalk"
url = { env = "URL" }

[notifiers.night]
type = "dingtalk"
url = { env = "URL" }
"""
)
RULE = "rules:\n  - id: one\n    on: instance.failed\n    do: [ { notify: { to: TO, message: x } } ]\n"
