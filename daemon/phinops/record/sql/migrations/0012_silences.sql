-- What persons silenced: rules that do not fire for some time. A part that is empty is not looked at.
CREATE TABLE silence (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,     -- si_...
    tenant    TEXT NOT NULL DEFAULT '',
    rule      TEXT NOT NULL DEFAULT '',
    node      TEXT NOT NULL DEFAULT '',
    project   TEXT NOT NULL DEFAULT '',
    instance  TEXT NOT NULL DEFAULT '',
    alert     TEXT NOT NULL DEFAULT '',
    starts_at INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL,
    author    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    ended_by  TEXT NOT NULL DEFAULT ''  -- who ended it before its time
);
CREATE INDEX silence_ends ON silence (ends_at);
