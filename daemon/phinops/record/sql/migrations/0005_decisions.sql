-- Decisions that can be told later: which rules were in force, and what of the past they were judged by.

-- Every meaning that a rule ever had, by its hash.
CREATE TABLE rule_version (
    hash     TEXT PRIMARY KEY,
    rule     TEXT NOT NULL,
    body     TEXT NOT NULL,             -- the rule as its firings keep it
    first_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The rules that were in force together: `body` lists their hashes in order, and whether none was armed.
CREATE TABLE rule_set (
    hash     TEXT PRIMARY KEY,
    body     TEXT NOT NULL,
    first_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The set that the event was decided by; empty for what was recorded before this was kept.
ALTER TABLE event ADD COLUMN rule_set TEXT NOT NULL DEFAULT '';

ALTER TABLE firing ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';    -- what of the past its decision was judged by
ALTER TABLE firing ADD COLUMN now TEXT;                            -- the event with its object as it was last read
ALTER TABLE firing ADD COLUMN stop TEXT NOT NULL DEFAULT '';       -- why it is to end at the next safe point

-- Events that count for a rule over several: those of an open window have no firing yet.
CREATE TABLE counted (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant    TEXT NOT NULL,
    rule      TEXT NOT NULL,
    pattern   TEXT NOT NULL,            -- hash of what the window is about: condition, key and pattern
    key       TEXT NOT NULL,
    event_id  TEXT NOT NULL,
    type      TEXT NOT NULL,
    at        INTEGER NOT NULL,         -- the event's own time
    facts     TEXT NOT NULL DEFAULT '{}',  -- how the window stood with this event in it
    firing_id TEXT
);
CREATE INDEX counted_open ON counted (tenant, rule, key, at) WHERE firing_id IS NULL;
CREATE INDEX counted_by_firing ON counted (firing_id) WHERE firing_id IS NOT NULL;
CREATE INDEX counted_by_event ON counted (event_id);

-- Moments at which an instance will have been in one state for too long.
CREATE TABLE timer (
    tenant    TEXT NOT NULL,
    object_id TEXT NOT NULL,
    what      TEXT NOT NULL,            -- the kind of event, the state and the time it is about
    due       INTEGER NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (tenant, object_id, what)
) WITHOUT ROWID;
CREATE INDEX timer_due ON timer (tenant, due);
