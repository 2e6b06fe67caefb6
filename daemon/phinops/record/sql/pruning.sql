-- next_firings --
-- Firings by number: whether each is old, and whether nothing holds it; `longer` is an object of moments by rule.
SELECT f.seq AS seq, f.id AS id, f.created_at < :before AS old,
       (f.ended_at < :before AND f.created_at < :before AND f.state <> 'needs_decision'
        AND NOT EXISTS (SELECT 1 FROM json_each(:longer) AS l WHERE l.key = f.rule AND f.ended_at >= l.value)
        AND NOT EXISTS (SELECT 1 FROM step AS s
                         WHERE s.firing_id = f.id AND s.state IN ('intent', 'unknown', 'waiting'))
        AND NOT EXISTS (SELECT 1 FROM step AS s JOIN node_lease AS n ON n.action_id = s.action_id
                         WHERE s.firing_id = f.id AND n.state = 'open')
        AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.firing_id = f.id AND o.state IN ('ready', 'merged'))) IS TRUE AS over
  FROM firing AS f WHERE f.seq > :after ORDER BY f.seq LIMIT :limit;

-- forget_notices_of --
-- Drops the notices of firings; `firings` is a JSON list of ids.
DELETE FROM outbox WHERE firing_id IN (SELECT value FROM json_each(:firings));

-- forget_places_of --
-- Drops the places that events had in firings.
DELETE FROM counted WHERE firing_id IN (SELECT value FROM json_each(:firings)) AND firing_id IS NOT NULL;

-- forget_approvals_of --
-- Drops what firings asked people.
DELETE FROM approval WHERE firing_id IN (SELECT value FROM json_each(:firings));

-- forget_leases_of --
-- Drops the leases of pauses.
DELETE FROM node_lease WHERE action_id IN (
    SELECT action_id FROM step WHERE firing_id IN (SELECT value FROM json_each(:firings)));

-- forget_reversals_of --
-- Drops what firings were to take back.
DELETE FROM reversal WHERE firing_id IN (SELECT value FROM json_each(:firings));

-- forget_steps_of --
-- Drops the attempts at the steps of firings.
DELETE FROM step WHERE firing_id IN (SELECT value FROM json_each(:firings));

-- forget_firings --
-- Drops firings.
DELETE FROM firing WHERE id IN (SELECT value FROM json_each(:firings));

-- next_events --
-- Events by number: whether each is old, and whether no firing is about it and no open window may still count it.
SELECT e.seq AS seq, e.id AS id, e.received_at < :before AS old,
       (e.received_at < :before
        AND NOT EXISTS (SELECT 1 FROM firing AS f WHERE f.event_id = e.id)
        AND NOT EXISTS (SELECT 1 FROM counted AS c
                         WHERE c.event_id = e.id
                           AND (c.firing_id <> ''
                                OR (c.firing_id IS NULL
                                    AND (c.at >= :before
                                         OR EXISTS (SELECT 1 FROM json_each(:longer) AS l
                                                     WHERE l.key = c.rule AND c.at >= l.value)))))) AS over
  FROM event AS e WHERE e.seq > :after ORDER BY e.seq LIMIT :limit;

-- forget_places_with --
-- Drops the places of events that count for nothing any more; `events` is a JSON list of ids.
DELETE FROM counted WHERE event_id IN (SELECT value FROM json_each(:events));

-- forget_events --
-- Drops events.
DELETE FROM event WHERE id IN (SELECT value FROM json_each(:events));

-- next_notices --
-- Notices of the daemon's own by number: whether each is old, and whether it is over.
SELECT seq, id, created_at < :before AS old, (created_at < :before AND state IN ('sent', 'dead')) AS over
  FROM outbox WHERE firing_id IS NULL AND seq > :after ORDER BY seq LIMIT :limit;

-- forget_notices --
-- Drops notices; `ids` is a JSON list.
DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(:ids));

-- store_size --
-- Pages of the file, those of them that are free, the bytes of one, and whether free ones can be given back (2).
SELECT (SELECT page_count FROM pragma_page_count) AS pages,
       (SELECT freelist_count FROM pragma_freelist_count) AS free,
       (SELECT page_size FROM pragma_page_size) AS page,
       (SELECT auto_vacuum FROM pragma_auto_vacuum) AS vacuum;

-- shrink --
-- Gives free pages at the end of the file back to the disk.
PRAGMA incremental_vacuum(500);

-- oldest_event --
-- When the oldest event was received.
SELECT received_at AS at FROM event ORDER BY seq LIMIT 1;
