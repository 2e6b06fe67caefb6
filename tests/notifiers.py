"""A config with two notifiers, and a rule that tells TO."""

from __future__ import annotations

CONFIG = """\
[[tenants]]
name = "prod"
endpoint = "https://dataphin-public.cn-shanghai.aliyuncs.com"
op_tenant_id = 30001011
edition = "basic"
access_key_id = { env = "ID" }
access_key_secret = { env = "SECRET" }

[notifiers.oncall]
type = "dingtalk"
url = { env = "URL" }

[notifiers.night]
type = "dingtalk"
url = { env = "URL" }
"""
RULE = "rules:\n  - id: one\n    on: instance.failed\n    do: [ { notify: { to: TO, message: x } } ]\n"
