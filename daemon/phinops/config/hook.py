"""A hook's table: how whoever posts proves who it is, and what the messages are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal, Self

from pydantic import model_validator

from phinops.config.fields import Mistake, Model, Word, did_you_mean, refuse
from phinops.config.secret import Secret


class Hook(Model):
    """Who may POST to `/hooks/NAME`.

    `auth`: `standard` is the signature of Standard Webhooks, `hmac` one of the body alone, `bearer` the secret itself;
    the latter two stand in `header`. `id_header` is where the sender names its messages. `format` says that the
    messages are those of Dataphin's custom message channel, about `tenant`.
    """

    secret: Secret
    auth: Literal["standard", "hmac", "bearer"] = "standard"
    header: str | None = None
    id_header: str | None = None
    format: Literal["dataphin"] | None = None
    tenant: Word | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        found: list[Mistake] = []
        if self.auth == "standard":
            given = ((key, getattr(self, key)) for key in ("header", "id_header"))
            found += [((key,), "Standard Webhooks have headers of their own: leave it out") for key, it in given if it]
        if self.auth == "hmac" and not self.header:
            found.append(((), "name the `header` that bears the signature, such as X-Hub-Signature-256"))
        refuse(found)
        return self


def hook_mistakes(hooks: Mapping[str, Hook], tenants: Collection[str]) -> Iterator[Mistake]:
    """Hooks about tenants that there are not, or that do not say about which of several."""
    for name, hook in hooks.items():
        if hook.tenant is not None and hook.tenant not in tenants:
            yield ("hooks", name, "tenant"), f"there is no tenant «{hook.tenant}»{did_you_mean(hook.tenant, tenants)}"
        elif hook.format and hook.tenant is None and len(tenants) > 1:
            yield ("hooks", name), f"its messages are about one tenant: name it, as `tenant`, of {', '.join(tenants)}"
