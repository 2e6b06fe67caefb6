-- put_audit --
-- Adds what was decided or done, by whoever owns the store now; rule, version and event are the firing's.
INSERT INTO audit (ts, epoch, firing_id, what, detail, action_id, rule, rule_hash, event_id)
SELECT :now, :epoch, :firing_id, :what, :detail, :action_id,
       coalesce(f.rule, ''), coalesce(f.rule_hash, ''), coalesce(f.event_id, '')
  FROM (SELECT 1) LEFT JOIN firing AS f ON f.id = :firing_id;

-- audit_of_firing --
-- Everything that was noted about one firing, in order.
SELECT seq, ts, epoch, what, detail FROM audit WHERE firing_id = :firing_id ORDER BY seq;

-- audit_from --
-- Lines of the trail in order, of a span and a rule if they are given.
SELECT * FROM audit
 WHERE seq > :after AND (:since IS NULL OR ts >= :since) AND (:until IS NULL OR ts < :until)
   AND (:rule = '' OR rule = :rule)
 ORDER BY seq LIMIT :limit;

-- audit_of_action --
-- Lines of the trail about one action, in order.
SELECT * FROM audit
 WHERE action_id = :action_id AND action_id <> '' AND seq > :after
   AND (:since IS NULL OR ts >= :since) AND (:until IS NULL OR ts < :until) AND (:rule = '' OR rule = :rule)
 ORDER BY seq LIMIT :limit;

-- oldest_audit --
-- The oldest lines of the trail, and which of them were written before a moment.
SELECT seq, ts < :before AS old FROM audit ORDER BY seq LIMIT :limit;

-- forget_audit --
-- Drops the oldest lines of the trail up to one: a trigger lets nothing be dropped but from its oldest end.
DELETE FROM audit WHERE seq <= :upto;

-- oldest_line --
-- When the oldest line of the trail was written.
SELECT ts FROM audit ORDER BY seq LIMIT 1;
