-- resolve_step --
-- A person says what became of a write of unknown fate; no row means that it is not, or not any more.
UPDATE step SET state = :state, outcome = :outcome, result = json_patch(coalesce(result, '{}'), :result), t_done = :now,
                verify_until = :verify_until
 WHERE action_id = :action_id AND state = 'unknown';

-- later_steps --
-- How many attempts of a firing came after one.
SELECT count(*) AS n FROM step AS one JOIN step AS s ON s.firing_id = one.firing_id AND s.seq > one.seq
 WHERE one.action_id = :action_id;

-- reopen_firing --
-- A firing that waited for a person goes on with a step.
UPDATE firing SET state = 'running', reason = :reason, wake_at = NULL, ended_at = NULL, cursor = :cursor, ctx = :ctx
 WHERE id = :id AND state = 'needs_decision';

-- conclude_firing --
-- A firing that waited for a person is over.
UPDATE firing SET state = :state, reason = :reason, ended_at = :now WHERE id = :id AND state = 'needs_decision';
