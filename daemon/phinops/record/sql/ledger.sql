-- ledger_used --
-- The calls counted for an account on one quota day, by level.
SELECT level, used FROM ledger WHERE account = :account AND day = :day ORDER BY level;

-- ledger_lease --
-- Counts calls before they are sent.
INSERT INTO ledger (account, day, level, used) VALUES (:account, :day, :level, :count)
    ON CONFLICT (account, day, level) DO UPDATE SET used = used + excluded.used;

-- ledger_give_back --
-- Takes off calls that were counted and never sent.
UPDATE ledger SET used = max(0, used - :count) WHERE account = :account AND day = :day AND level = :level;

-- ledger_at_least --
-- Counts calls that another store has counted: never fewer than either.
INSERT INTO ledger (account, day, level, used) VALUES (:account, :day, :level, :used)
    ON CONFLICT (account, day, level) DO UPDATE SET used = max(used, excluded.used);
