-- breaker_of --
-- How many writes in a row came to nothing, of a rule or on a target.
SELECT failures, failed_at, reason, under_way FROM breaker WHERE tenant = :tenant AND scope = :scope AND name = :name;

-- breaker_parties --
-- Whose write an action was and on what; a person's call has no event.
SELECT s.tenant, s.kind, s.target_kind, s.target_id, s.epoch, s.t_intent, f.rule, f.event_id
  FROM step AS s JOIN firing AS f ON f.id = s.firing_id WHERE s.action_id = :action_id;

-- breaker_failed --
-- One more write came to nothing; those that were lost with one call (which left at `call`) count once.
INSERT INTO breaker (tenant, scope, name, failures, failed_at, reason, counted)
VALUES (:tenant, :scope, :name, 1, :now, :reason, :call)
ON CONFLICT (tenant, scope, name)
DO UPDATE SET failures = failures + (excluded.counted IS NULL OR counted IS NOT excluded.counted),
              failed_at = excluded.failed_at, reason = excluded.reason, counted = excluded.counted;

-- breaker_closed --
-- A write was done: whatever failed before it is no row of failures any more.
DELETE FROM breaker WHERE tenant = :tenant AND scope = :scope AND name = :name;

-- breaker_asked --
-- A write leaves on which it depends whether the row of failures goes on.
UPDATE breaker SET under_way = :action_id WHERE tenant = :tenant AND scope = :scope AND name = :name;

-- breaker_answered --
-- The write is not under way any more.
UPDATE breaker SET under_way = ''
 WHERE tenant = :tenant AND scope = :scope AND name = :name AND under_way = :action_id;

-- breakers_forgotten --
-- What has not failed for long is not held against anybody.
DELETE FROM breaker WHERE failed_at < :before AND under_way = '';
