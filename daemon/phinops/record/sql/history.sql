-- busy_firings --
-- How many other firings of the rule hold this key of the tenant; one that waits for an absence does not hold it yet.
SELECT count(*) AS n FROM firing
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND id <> :except
   AND ended_at IS NULL AND state IN ('waiting', 'ready', 'running', 'settling')
   AND NOT (state = 'waiting' AND json_extract(plan, '$.pattern.kind') IS 'absent');

-- last_started --
-- When the rule last began on this key of the tenant.
SELECT started_at AS at FROM firing
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND id <> :except AND started_at IS NOT NULL
 ORDER BY started_at DESC LIMIT 1;

-- started_since --
-- How often the rule began on any key since a moment; the end of a lease is no decision of the rule's.
SELECT count(*) AS n FROM firing
 WHERE rule = :rule AND started_at > :since AND id <> :except AND id NOT IN (SELECT firing_id FROM reversal);

-- causes_of_firings --
-- The actions that caused what the rule fired on, on this key of the tenant, since a moment; of several, each.
SELECT f.id AS firing_id, json_extract(e.body, '$.caused_by') AS action_id
  FROM firing AS f JOIN event AS e ON e.id = f.event_id
 WHERE f.tenant = :tenant AND f.rule = :rule AND f.key = :key AND f.started_at > :since AND f.id <> :except
   AND json_extract(e.body, '$.caused_by') <> ''
UNION ALL
SELECT f.id, json_extract(e.body, '$.caused_by')
  FROM firing AS f JOIN counted AS c ON c.firing_id = f.id JOIN event AS e ON e.id = c.event_id
 WHERE f.tenant = :tenant AND f.rule = :rule AND f.key = :key AND f.started_at > :since AND f.id <> :except
   AND json_extract(e.body, '$.caused_by') <> '';

-- rules_behind --
-- The rules of an action, of the action that caused what that rule fired on, and so on back.
WITH RECURSIVE chain (action_id, depth) AS (
    SELECT :action_id, 1
    UNION
    SELECT json_extract(e.body, '$.caused_by'), c.depth + 1
      FROM chain AS c
      JOIN step AS s ON s.action_id = c.action_id
      JOIN firing AS f ON f.id = s.firing_id
      JOIN event AS e ON e.id = f.event_id
     WHERE json_extract(e.body, '$.caused_by') <> '' AND c.depth < 20
)
SELECT DISTINCT f.rule AS rule
  FROM chain AS c JOIN step AS s ON s.action_id = c.action_id JOIN firing AS f ON f.id = s.firing_id;

-- unsettled_on --
-- A write on this target whose fate is not known, rather one that nobody reads back any more.
SELECT action_id, state FROM step
 WHERE tenant = :tenant AND target_id = :target_id AND target_kind = :target_kind AND state IN ('intent', 'unknown')
 ORDER BY state DESC LIMIT 1;

-- writes_since --
-- How many writes have left, or may have left, since a moment, whoever asked.
SELECT count(*) AS n FROM step
 WHERE t_intent > :since AND state IN ('intent', 'done', 'unknown', 'abandoned') AND outcome <> 'shadow'
   AND kind NOT IN ('notify', 'read', 'wait', 'emit');

-- targets_since --
-- The distinct targets that a rule has written to since a moment (the steps of that time come first, on purpose).
SELECT DISTINCT s.target_kind AS target_kind, s.target_id AS target_id
  FROM step AS s CROSS JOIN firing AS f ON f.id = s.firing_id
 WHERE f.rule = :rule AND s.t_intent > :since AND s.target_id <> ''
   AND s.target_kind <> 'http' AND s.state IN ('intent', 'done', 'unknown', 'abandoned') AND s.outcome <> 'shadow'
   AND s.kind NOT IN ('notify', 'read', 'wait', 'emit');

-- writes_on --
-- The newest writes of ours on a target since a moment, newest first.
SELECT * FROM step
 WHERE tenant = :tenant AND target_id = :target_id AND t_intent > :since
   AND state IN ('intent', 'done', 'unknown', 'abandoned') AND outcome <> 'shadow'
   AND kind NOT IN ('notify', 'read', 'wait', 'emit')
 ORDER BY seq DESC LIMIT 20;

-- recoveries --
-- The latest instances of the tenant that were seen to succeed since a moment.
SELECT body FROM event
 WHERE tenant = :tenant AND type = 'instance.succeeded' AND received_at > :since
 ORDER BY received_at DESC LIMIT :most;
