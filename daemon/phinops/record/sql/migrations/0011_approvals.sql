-- Questions to people before a firing goes on.

CREATE TABLE approval (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,    -- ap_...
    action_id   TEXT NOT NULL,           -- the row of its step
    firing_id   TEXT NOT NULL REFERENCES firing (id),
    n           INTEGER NOT NULL,        -- the step's place in the plan
    tenant      TEXT NOT NULL,
    rule        TEXT NOT NULL,
    step_id     TEXT NOT NULL,
    message     TEXT NOT NULL,
    shown       TEXT NOT NULL,           -- calls and objects as people saw them
    asked_at    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    answer      TEXT NOT NULL DEFAULT '',    -- approved denied expired void; empty while it is open
    by          TEXT NOT NULL DEFAULT '',
    via         TEXT NOT NULL DEFAULT '',    -- cli api link
    reason      TEXT NOT NULL DEFAULT '',
    answered_at INTEGER,
    outcome     TEXT NOT NULL DEFAULT '',    -- what the answer came to; empty until the objects were read again
    why         TEXT NOT NULL DEFAULT ''
);
CREATE INDEX approval_of_firing ON approval (firing_id, n);
CREATE INDEX approval_open ON approval (expires_at) WHERE answer = '';
