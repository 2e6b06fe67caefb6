-- put_reversal --
-- That a firing takes an action back.
INSERT INTO reversal (firing_id, action_id, what, who, why) VALUES (:firing_id, :action_id, :what, :who, :why);

-- reversals_of --
-- What was to take an action back, oldest first, with the newest attempt of each.
SELECT r.firing_id AS firing_id, r.what AS what, f.ended_at AS ended_at, s.action_id AS by_action, s.state AS state
  FROM reversal AS r JOIN firing AS f ON f.id = r.firing_id
  LEFT JOIN step AS s ON s.firing_id = r.firing_id
   AND s.attempt = (SELECT max(t.attempt) FROM step AS t WHERE t.firing_id = r.firing_id)
 WHERE r.action_id = :action_id ORDER BY f.seq;

-- writes_after --
-- Our other writes on the target of an action since then that were done or may have been, oldest first.
SELECT s.* FROM step AS a
  JOIN step AS s ON s.tenant = a.tenant AND s.target_id = a.target_id AND s.target_kind = a.target_kind AND s.seq > a.seq
 WHERE a.action_id = :action_id AND a.target_id <> '' AND s.firing_id <> :besides
   AND s.state IN ('intent', 'done', 'unknown') AND s.outcome <> 'shadow'
   AND s.kind NOT IN ('notify', 'read', 'wait', 'emit')
 ORDER BY s.seq LIMIT 100;

-- sends_since --
-- How often the same may have been sent to the target of an action since the first attempt of its step.
SELECT count(*) AS n FROM step AS a
  JOIN step AS s ON s.tenant = a.tenant AND s.target_id = a.target_id AND s.target_kind = a.target_kind AND s.kind = a.kind
 WHERE a.action_id = :action_id AND s.state IN ('intent', 'done', 'unknown', 'absent', 'abandoned') AND s.outcome <> 'shadow'
   AND s.seq >= (SELECT min(t.seq) FROM step AS t WHERE t.firing_id = a.firing_id AND t.n = a.n);
