"""`phinops.toml`: models named after its tables, every mistake at once with its place and its cure."""

from phinops.catalog.catalog import Edition
from phinops.config.hook import Hook
from phinops.config.load import check_config, find_config, load_config, places_in
from phinops.config.model import (
    ZONE,
    AutoRerun,
    Breakers,
    Config,
    ImpactSettings,
    Protected,
    RulesSection,
    Safety,
    Server,
    SourceSettings,
    StoreSection,
    Tenant,
    TenantQuota,
    TenantSources,
)
from phinops.config.notifier import Notifier
from phinops.config.secret import Secret

__all__ = [
    "ZONE",
    "AutoRerun",
    "Breakers",
    "Config",
    "Edition",
    "Hook",
    "ImpactSettings",
    "Notifier",
    "Protected",
    "RulesSection",
    "Safety",
    "Secret",
    "Server",
    "SourceSettings",
    "StoreSection",
    "Tenant",
    "TenantQuota",
    "TenantSources",
    "check_config",
    "find_config",
    "load_config",
    "places_in",
]
