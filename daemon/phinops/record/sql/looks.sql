-- put_look --
-- Read the target of an attempt again at a moment; of a step whose target is read again anyway, then.
UPDATE step SET look_at = :at
 WHERE seq = (SELECT min(other.seq)
                FROM step AS one JOIN step AS other ON other.firing_id = one.firing_id AND other.n = one.n
               WHERE one.action_id = :action_id
                 AND (other.action_id = one.action_id
                      OR (other.look_at IS NOT NULL AND other.target_id = one.target_id)));

-- due_looks --
-- The attempts whose targets are to be read again by now, the first due first, with their rules.
SELECT s.*, f.rule AS rule FROM step AS s JOIN firing AS f ON f.id = s.firing_id
 WHERE s.look_at <= :now ORDER BY s.look_at LIMIT :limit;

-- likes_since --
-- How many writes of the same kind on the same target were done, or may have been, from an attempt on.
SELECT coalesce(sum(s.state = 'done'), 0) AS done,
       coalesce(sum(s.state IN ('unknown', 'abandoned')), 0) AS unknown,
       coalesce(sum(s.state = 'intent'), 0) AS open
  FROM step AS one JOIN step AS s
    ON s.tenant = one.tenant AND s.target_id = one.target_id AND s.target_kind = one.target_kind AND s.api = one.api
       AND s.kind = one.kind AND s.seq >= one.seq
 WHERE one.action_id = :action_id AND s.outcome <> 'shadow';

-- postpone_look --
-- The target cannot be read now, or would not tell.
UPDATE step SET look_at = :at WHERE action_id = :action_id AND look_at IS NOT NULL;

-- close_look --
-- The target was read again; no row means that somebody else has said so before.
UPDATE step SET look_at = NULL, doubled = :doubled WHERE action_id = :action_id AND look_at IS NOT NULL;

-- doubled_actions --
-- How many writes were found done more often than meant.
SELECT count(*) AS n FROM step WHERE doubled <> '';
