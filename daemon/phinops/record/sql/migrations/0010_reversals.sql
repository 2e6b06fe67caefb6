-- Actions that are taken back: by a person, or by phinops when the lease of a pause is over.
CREATE TABLE reversal (
    firing_id TEXT PRIMARY KEY REFERENCES firing (id),  -- what takes it back
    action_id TEXT NOT NULL,
    what      TEXT NOT NULL,            -- lease, undo
    who       TEXT NOT NULL,            -- who asked; "" of a lease
    why       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reversal_by_action ON reversal (action_id);

-- Pauses of nodes that end by themselves. A row is born with the intent of its pause: what became of the pause is told by
-- the step. `state` is open, or how it ended: resumed left cancelled void.
CREATE TABLE node_lease (
    action_id TEXT PRIMARY KEY REFERENCES step (action_id),
    due       INTEGER NOT NULL,
    state     TEXT NOT NULL DEFAULT 'open',
    reason    TEXT NOT NULL DEFAULT '',
    firing_id TEXT,                     -- what resumes the node; null before it is due
    ended_at  INTEGER
) WITHOUT ROWID;
CREATE INDEX node_lease_open ON node_lease (due) WHERE state = 'open';
