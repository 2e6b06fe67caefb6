-- due_notices --
-- The notices of one notifier that may be tried now, oldest first.
SELECT id, notifier, payload, attempts, created_at,
       EXISTS (SELECT 1 FROM outbox AS m WHERE m.carrier = o.id) AS carries
  FROM outbox AS o
 WHERE state = 'ready' AND notifier = :notifier AND next_at <= :now ORDER BY created_at, seq LIMIT :limit;

-- merge_notice --
-- The notice is told in the message of another one.
UPDATE outbox SET state = 'merged', carrier = :carrier WHERE id = :id AND state = 'ready';

-- carried_notices --
-- What is told in the message of a notice, oldest first.
SELECT id, notifier, payload, attempts, created_at, 0 AS carries FROM outbox
 WHERE carrier = :carrier ORDER BY created_at, seq;

-- sent_since --
-- When messages of a notifier were taken.
SELECT sent_at FROM outbox WHERE notifier = :notifier AND state = 'sent' AND sent_at > :since;

-- notice_sent --
-- The channel took the notice.
UPDATE outbox SET state = 'sent', attempts = attempts + 1, sent_at = :now, error = '' WHERE id = :id;

-- notice_retry --
-- The channel did not take it; it is tried again later.
UPDATE outbox SET attempts = attempts + 1, next_at = :at, error = :error WHERE id = :id AND state = 'ready';

-- notices_with --
-- A notice that is on its way still, and what it carries.
SELECT id, notifier FROM outbox WHERE (id = :id AND state = 'ready') OR carrier = :id;

-- fall_back --
-- The notice once more, for another notifier.
INSERT INTO outbox (id, firing_id, n, notifier, payload, state, attempts, next_at, error, created_at)
SELECT :new_id, firing_id, n, :notifier, payload, 'ready', 0, :now, '', :now FROM outbox WHERE id = :id
    ON CONFLICT DO NOTHING;

-- notice_dead --
-- The channel will not take it, nor what it carries.
UPDATE outbox SET state = 'dead', attempts = attempts + 1, error = :error
 WHERE (id = :id AND state = 'ready') OR (carrier = :id AND state = 'merged');

-- list_notices --
-- The newest notices, in one state or in any, for one notifier or for all.
SELECT id, notifier, payload, attempts, created_at, state, error, firing_id, carrier FROM outbox
 WHERE :state IN ('', state) AND :notifier IN ('', notifier) ORDER BY seq DESC LIMIT :limit;

-- dead_notices --
-- Notices that their channels did not take: all of them, or the one.
SELECT id FROM outbox WHERE state = 'dead' AND :id IN ('', id) ORDER BY seq;

-- notice_again --
-- The notice is tried once more, and by itself.
UPDATE outbox SET state = 'ready', next_at = :now, carrier = NULL WHERE id = :id AND state = 'dead';

-- notice_counts --
-- Notices by state.
SELECT state, count(*) AS n FROM outbox GROUP BY state;
