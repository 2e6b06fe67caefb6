-- list_events --
-- The newest events, of one tenant or of all.
SELECT body FROM event WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- list_firings --
-- The newest firings, of one tenant or of all.
SELECT id, created_at, rule, event_id, mode, state, reason FROM firing
 WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- list_actions --
-- The newest attempts at steps, of one tenant or of all.
SELECT action_id, firing_id, kind, api, target_kind, target_id, state, outcome, request_id, t_intent, doubled,
       (SELECT r.action_id FROM reversal AS r WHERE r.firing_id = step.firing_id) AS reverses,
       (SELECT s.action_id FROM reversal AS r JOIN step AS s ON s.firing_id = r.firing_id
         WHERE r.action_id = step.action_id AND s.state = 'done' LIMIT 1) AS undone_by
 FROM step
 WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- actions_of --
-- Every attempt at the steps of a firing.
SELECT action_id, firing_id, step_id, kind, api, target_kind, target_id, state, outcome, result, request_id, t_intent,
       doubled, (SELECT r.action_id FROM reversal AS r WHERE r.firing_id = step.firing_id) AS reverses,
       (SELECT s.action_id FROM reversal AS r JOIN step AS s ON s.firing_id = r.firing_id
         WHERE r.action_id = step.action_id AND s.state = 'done' LIMIT 1) AS undone_by
  FROM step WHERE firing_id = :firing_id ORDER BY n, attempt;
