-- list_events --
-- The newest events, of one tenant or of all.
SELECT body FROM event WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- list_firings --
-- The newest firings, of one tenant or of all.
SELECT id, created_at, rule, event_id, mode, state, reason FROM firing
 WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- list_actions --
-- The newest attempts at steps, of one tenant or of all.
SELECT action_id, firing_id, kind, api, target_kind, target_id, state, outcome, request_id, t_intent, doubled
  FROM step
 WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- actions_of --
-- Every attempt at the steps of a firing.
SELECT action_id, firing_id, step_id, kind, api, target_kind, target_id, state, outcome, result, request_id, t_intent,
       doubled
  FROM step WHERE firing_id = :firing_id ORDER BY n, attempt;
