-- Who spent the calls of a quota day. Polls have no rule and no firing, so a day of theirs is a few hundred rows; a firing
-- has a row for each API that it called in an hour. Older days are kept as totals: `hour` is -1 and `firing` empty.
CREATE TABLE spend (
    account TEXT NOT NULL,
    day     TEXT NOT NULL,              -- YYYY-MM-DD in the quota's zone
    hour    INTEGER NOT NULL,           -- of that zone; -1: the whole day
    level   INTEGER NOT NULL,
    source  TEXT NOT NULL,              -- alerts, instances, impacts, rules, operator, daemon
    api     TEXT NOT NULL,
    rule    TEXT NOT NULL,              -- "": nobody's
    firing  TEXT NOT NULL,
    calls   INTEGER NOT NULL,
    PRIMARY KEY (account, day, hour, level, source, api, rule, firing)
) WITHOUT ROWID;
