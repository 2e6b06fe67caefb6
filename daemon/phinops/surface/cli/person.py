"""Who types a command, for what is recorded of it."""

from __future__ import annotations

import os
import pwd


def person() -> str:
    """The user as the system knows them, not as the environment says; of root who became it by sudo, who that was."""
    user = os.getuid()
    before = os.environ.get("SUDO_USER", "")
    if user == 0 and before:
        return before  # only root could have set it otherwise, and root may do anything
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
