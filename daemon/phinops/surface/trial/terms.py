"""What trials have in common: a config made up for them, what rules are checked against, and the rules once read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from phinops.config import Config, Tenant
from phinops.decide.language import Language
from phinops.decide.load import Loaded, load_rules
from phinops.decide.rule import Rule, RuleSet, Setting, hash_of
from phinops.rulebook import Rulebook, setting_of

ENDPOINT = "http://127.0.0.1:9"
"""Nobody listens there: calls go another way."""


@dataclass(slots=True)
class Terms:
    """The terms of trials. `config` is the one made up; rules that were read are kept by their files. With `shadow`
    no rule is armed, whatever it says.
    """

    config: Config
    setting: Setting
    language: Language
    shadow: bool = False
    _read: dict[tuple[tuple[Path, ...], str], Loaded] = field(default_factory=dict)

    def load(self, paths: Sequence[Path], mode: str = "") -> Loaded:
        """The rules of these files, in that mode where one is given; those that are off stay off."""
        key = (tuple(paths), mode)
        if key not in self._read:
            loaded = _in_mode(self.load(paths), mode) if mode else load_rules(paths, self.setting, self.language)
            self._read[key] = loaded
        return self._read[key]

    def put(self, rule: Rule) -> Path:
        """Have this rule in force alone, under the path that is given, which is none of a file.

        Its `file` stays what it is, so that what is said of it is said of where it is written.
        """
        path = Path(f"{rule.file}#{rule.id}-{rule.hash}")
        self._read.setdefault(((path,), ""), Loaded(RuleSet([rule])))
        return path

    def rulebook(self, config: Config, mode: str) -> Rulebook:
        """A rulebook of the files that `config` names, and of others that a reload names."""

        def read(config: Config, _: Language) -> Loaded:
            return self.load(config.rules.paths, mode)

        return Rulebook(config, self.language, shadow=self.shadow, read=read)

    def config_of(self, paths: Sequence[Path]) -> Config:
        """The made-up config with these rules."""
        return self.config.model_copy(update={"rules": self.config.rules.model_copy(update={"paths": tuple(paths)})})


def make_terms(own: Config | None, folder: Path, tenant: str = "") -> Terms:
    """The terms for rules that run with the config `own`, or with any. Keys that open nothing are put into `folder`.

    No secret of `own` is read. Its time zone, the edition and the ways of the tenant, which is its first unless another
    is named, its ceiling of writes and the names of its notifiers and hooks hold in trials too.
    """
    config = Config.model_validate(_document(own, folder, tenant))
    return Terms(config, setting_of(own), Language(config.timezone))


def _document(own: Config | None, folder: Path, tenant: str) -> dict[str, Any]:
    for name in ("key-id", "key-secret"):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text("made-up", encoding="utf-8")
    return {
        "tenants": [
            {
                "name": "test",
                "endpoint": ENDPOINT,
                "op_tenant_id": 1,
                "edition": "intelligent",
                "access_key_id": {"file": folder / "key-id"},
                "access_key_secret": {"file": folder / "key-secret"},
                # Tests are about rules: calls are counted, and none has to wait.
                "quota": {"qps": {}, "daily": {}},
                **(_ways(own.tenant(tenant) or own.tenants[0]) if own else {}),
            }
        ],
        **({"timezone": str(own.timezone), "safety": own.safety.model_dump()} if own else {}),
    }


def _ways(tenant: Tenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "edition": "intelligent" if tenant.edition == "private" else tenant.edition,
        "env": tenant.env,
        "timeout": f"{tenant.timeout.total_seconds()}s",
        "settle_after": f"{tenant.settle_after.total_seconds()}s",
        "biz_date_format": tenant.biz_date_format,
        "quota": {"qps": {}, "daily": {}, "levels": dict(tenant.quota.levels)},
        **({"auto_rerun": tenant.auto_rerun.model_dump()} if tenant.auto_rerun else {}),
        "sources": {"impacts": {"window": f"{tenant.sources.impacts.window.total_seconds()}s"}},
    }


def _in_mode(loaded: Loaded, mode: str) -> Loaded:
    return replace(loaded, rules=RuleSet(_with_mode(rule, mode) for rule in loaded.rules))


def _with_mode(rule: Rule, mode: Any) -> Rule:
    if rule.mode in ("off", mode):
        return rule
    changed = replace(rule, mode=mode)
    return replace(changed, hash=hash_of(changed.to_json()))
