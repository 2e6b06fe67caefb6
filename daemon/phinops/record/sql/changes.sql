-- put_change --
-- Adds to the changes that a source's polls found first in one hour.
INSERT INTO change (tenant, source, part, hour, found) VALUES (:tenant, :source, :part, :hour, :found)
    ON CONFLICT (tenant, source, part, hour) DO UPDATE SET found = found + excluded.found;

-- changes_since --
-- The changes that a source's polls found first, by part and hour.
SELECT part, hour, found FROM change WHERE tenant = :tenant AND source = :source AND hour >= :since;

-- forget_changes --
-- Drops what is too old to tell how often things change.
DELETE FROM change WHERE tenant = :tenant AND source = :source AND hour < :before;
