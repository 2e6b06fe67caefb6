-- put_counted --
-- An event counts for a rule over several.
INSERT INTO counted (tenant, rule, pattern, key, event_id, type, at, facts, firing_id)
VALUES (:tenant, :rule, :pattern, :key, :event_id, :type, :at, :facts, :firing_id);

-- open_counted --
-- What counts in an open window and happened within a span, in order of arrival.
SELECT c.event_id, c.type, c.at, e.received_at FROM counted AS c JOIN event AS e ON e.id = c.event_id
 WHERE c.tenant = :tenant AND c.rule = :rule AND c.key = :key AND c.pattern = :pattern AND c.firing_id IS NULL
   AND c.at BETWEEN :since AND :until
 ORDER BY c.seq;

-- claim_counted --
-- Those of an open window that a firing is about; `events` is a JSON list of ids.
UPDATE counted SET firing_id = :firing_id
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND pattern = :pattern AND firing_id IS NULL
   AND event_id IN (SELECT value FROM json_each(:events));

-- pass_counted --
-- What happened up to a moment does not count any more: the window begins anew after it.
UPDATE counted SET firing_id = ''
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND firing_id IS NULL AND pattern = :pattern AND at <= :until;

-- lapse_counted --
-- What is too old and has been here for too long to count together with anything that may still arrive.
UPDATE counted SET firing_id = ''
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND firing_id IS NULL AND at < :until
   AND event_id IN (SELECT id FROM event WHERE id = counted.event_id AND received_at < :came);

-- hand_over_counted --
-- Events of a firing become another's; `events` is a JSON list of ids.
UPDATE counted SET firing_id = :to
 WHERE firing_id = :firing_id AND event_id IN (SELECT value FROM json_each(:events));

-- counted_of_firing --
-- The events of a firing over several, oldest first.
SELECT c.event_id, c.type, c.at, e.received_at, e.body FROM counted AS c JOIN event AS e ON e.id = c.event_id
 WHERE c.firing_id = :firing_id ORDER BY c.at, c.seq;

-- counted_on --
-- How windows stood with an event in them.
SELECT rule, key, facts, firing_id FROM counted WHERE event_id = :event_id ORDER BY seq;

-- waiting_for_absence --
-- The firings of a key that begin unless something comes.
SELECT * FROM firing
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND ended_at IS NULL AND state IN ('waiting', 'queued')
   AND json_extract(plan, '$.pattern.kind') = 'absent'
 ORDER BY seq;

-- join_firing --
-- A firing that waits is about a newer event now.
UPDATE firing SET event_id = :event_id WHERE id = :id AND ended_at IS NULL;

-- open_windows --
-- Every open window: how many keys it is kept for.
SELECT rule, pattern, count(DISTINCT tenant || char(31) || key) AS n FROM counted
 WHERE firing_id IS NULL GROUP BY rule, pattern;

-- every_open_counted --
-- What counts in any open window, in order of arrival.
SELECT c.tenant, c.rule, c.pattern, c.key, c.event_id, c.type, c.at, e.received_at
  FROM counted AS c JOIN event AS e ON e.id = c.event_id
 WHERE c.firing_id IS NULL ORDER BY c.seq;

-- drop_windows --
-- The open windows of a meaning that a rule no longer has.
UPDATE counted SET firing_id = '' WHERE firing_id IS NULL AND rule = :rule AND pattern = :pattern;
