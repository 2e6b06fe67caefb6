-- Writes in a row that Dataphin refused or that were settled as not done; a write that was done deletes the row.
CREATE TABLE breaker (
    tenant    TEXT NOT NULL,
    scope     TEXT NOT NULL,            -- rule, target
    name      TEXT NOT NULL,            -- the rule's id; the target's kind and id
    failures  INTEGER NOT NULL,
    failed_at INTEGER NOT NULL,         -- of the last one
    reason    TEXT NOT NULL,
    under_way TEXT NOT NULL DEFAULT '', -- the newest action since the first of them whose outcome is open
    PRIMARY KEY (tenant, scope, name)
) WITHOUT ROWID;
CREATE INDEX breaker_failed ON breaker (failed_at);
