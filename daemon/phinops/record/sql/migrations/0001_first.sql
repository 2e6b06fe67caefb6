-- Times are whole microseconds since 1970 in UTC, structures JSON text. `seq` is the order in which rows were born and
-- is never used twice. Needs nothing that SQLite 3.26 lacks.

-- Who may write: `epoch` grows by one each time somebody takes the shard, and every transaction checks it.
CREATE TABLE lease (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    expires INTEGER                     -- null: held until the file's lock is released
) WITHOUT ROWID;

-- What was seen. The id follows from what changed, so a change seen twice is one row.
CREATE TABLE event (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    source      TEXT NOT NULL,
    time        INTEGER NOT NULL,       -- when the service says that it happened
    body        TEXT NOT NULL,          -- the event as people see it
    received_at INTEGER NOT NULL
);
CREATE INDEX event_received ON event (received_at);

-- A rule that matched an event, and how far its plan has come. State is one of: waiting ready queued running settling
-- needs_decision done failed skipped.
CREATE TABLE firing (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,    -- fi_...
    event_id   TEXT REFERENCES event (id),  -- null: an operator's own call
    tenant     TEXT NOT NULL,
    rule       TEXT NOT NULL,
    rule_hash  TEXT NOT NULL,
    mode       TEXT NOT NULL,
    key        TEXT NOT NULL,
    plan       TEXT NOT NULL,           -- the rule as it was at birth; a reload does not touch it
    ctx        TEXT NOT NULL,           -- results of the steps so far
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL DEFAULT '',
    cursor     INTEGER NOT NULL DEFAULT 0,  -- the step to do next
    wake_at    INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at   INTEGER
);
CREATE INDEX firing_due ON firing (state, wake_at);
CREATE INDEX firing_by_key ON firing (rule, key, started_at);
CREATE INDEX firing_by_rule ON firing (rule, started_at);
CREATE INDEX firing_by_event ON firing (event_id);

-- One attempt at one step of a firing. Trying again adds a row. State is intent (may have been sent, nobody knows),
-- or how it was settled: done absent failed unknown ...
CREATE TABLE step (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    action_id    TEXT NOT NULL UNIQUE,  -- act_...
    firing_id    TEXT NOT NULL REFERENCES firing (id),
    n            INTEGER NOT NULL,      -- place in the plan, from 0
    step_id      TEXT NOT NULL DEFAULT '',
    attempt      INTEGER NOT NULL,      -- from 1
    kind         TEXT NOT NULL,
    api          TEXT NOT NULL DEFAULT '',
    tenant       TEXT NOT NULL,
    target_kind  TEXT NOT NULL DEFAULT '',
    target_id    TEXT NOT NULL DEFAULT '',
    project_id   TEXT NOT NULL DEFAULT '',
    state        TEXT NOT NULL,
    outcome      TEXT NOT NULL DEFAULT '',
    epoch        INTEGER NOT NULL,
    request      TEXT,
    probe        TEXT,                  -- what the target looked like before
    result       TEXT,
    request_id   TEXT NOT NULL DEFAULT '',
    t_intent     INTEGER NOT NULL,
    t_done       INTEGER,
    verify_until INTEGER,
    UNIQUE (firing_id, n, attempt)
);
-- At most one open intent a step.
CREATE UNIQUE INDEX step_open ON step (firing_id, n) WHERE state = 'intent';
CREATE INDEX step_by_target ON step (tenant, target_id);
CREATE INDEX step_by_time ON step (t_intent);

-- Notices on their way: at least once. State is ready, sent or dead.
CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,    -- msg_...
    firing_id  TEXT REFERENCES firing (id),  -- null: the daemon's own notice
    n          INTEGER,
    notifier   TEXT NOT NULL,
    payload    TEXT NOT NULL,
    state      TEXT NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER,
    error      TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    sent_at    INTEGER
);
CREATE INDEX outbox_due ON outbox (state, next_at);
CREATE INDEX outbox_by_firing ON outbox (firing_id);

-- What was decided and done, in the transaction that did it. Only ever added to; retention may delete the oldest.
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    ts        INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    firing_id TEXT,
    what      TEXT NOT NULL,
    detail    TEXT NOT NULL
);
CREATE INDEX audit_by_firing ON audit (firing_id);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'the audit is only ever added to');
END;

-- What a source last saw of each object. `tracked`: the source asks for it again although it is no longer listed.
CREATE TABLE seen (
    tenant     TEXT NOT NULL,
    source     TEXT NOT NULL,
    object_id  TEXT NOT NULL,
    state      TEXT NOT NULL,
    tracked    INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, source, object_id)
) WITHOUT ROWID;
CREATE INDEX seen_tracked ON seen (tenant, source, object_id) WHERE tracked = 1;

-- How far a source has come, and when it last answered.
CREATE TABLE cursor (
    tenant  TEXT NOT NULL,
    source  TEXT NOT NULL,
    body    TEXT NOT NULL,
    good_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, source)
) WITHOUT ROWID;

-- Calls counted before they are sent, by quota day.
CREATE TABLE ledger (
    account TEXT NOT NULL,
    day     TEXT NOT NULL,              -- YYYY-MM-DD in the quota's zone
    level   INTEGER NOT NULL,
    used    INTEGER NOT NULL CHECK (used >= 0),
    PRIMARY KEY (account, day, level)
) WITHOUT ROWID;

-- Switches that survive a restart.
CREATE TABLE kv (
    name       TEXT PRIMARY KEY,
    value      TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;
