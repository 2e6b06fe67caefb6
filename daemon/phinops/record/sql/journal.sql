-- put_event --
-- Record an event; nothing happens when it is known already.
INSERT INTO event (id, type, tenant, source, time, body, rule_set, received_at)
VALUES (:id, :type, :tenant, :source, :time, :body, :rule_set, :now)
ON CONFLICT (id) DO NOTHING;

-- get_event --
-- One recorded event.
SELECT id, type, body, rule_set, received_at FROM event WHERE id = :id;

-- put_firing --
-- Record what a rule does, or why it does nothing, about an event.
INSERT INTO firing (id, event_id, tenant, rule, rule_hash, mode, key, plan, ctx, state, reason, cursor, wake_at,
                    created_at, started_at, ended_at, facts)
VALUES (:id, :event_id, :tenant, :rule, :rule_hash, :mode, :key, :plan, :ctx, :state, :reason, :cursor, :wake_at,
        :created_at, :started_at, :ended_at, :facts);

-- get_firing --
-- One firing.
SELECT * FROM firing WHERE id = :id;

-- firings_on --
-- What rules made of an event.
SELECT * FROM firing WHERE event_id = :event_id ORDER BY seq;

-- open_firings --
-- Everything that was under way, oldest first: what a start takes up again.
SELECT * FROM firing
 WHERE ended_at IS NULL AND state IN ('waiting', 'queued', 'ready', 'running', 'settling')
 ORDER BY seq;

-- open_operator_calls --
-- Calls of persons, which have no event, that an earlier process left open.
SELECT DISTINCT f.id AS firing_id
  FROM step AS s JOIN firing AS f ON f.id = s.firing_id
 WHERE s.state = 'intent' AND s.epoch < :epoch AND f.event_id IS NULL;

-- move_firing --
-- Change a firing's state and the reason shown for it.
UPDATE firing SET state = :state, reason = :reason, wake_at = :wake_at WHERE id = :id AND ended_at IS NULL;

-- carry_firing --
-- A firing that waits goes on by its rule's new version.
UPDATE firing SET rule_hash = :rule_hash, mode = :mode, key = :key, plan = :plan, state = :state, reason = :reason,
                  wake_at = :wake_at, facts = :facts
 WHERE id = :id AND ended_at IS NULL;

-- start_firing --
-- The firing begins: from here its cooldown counts.
UPDATE firing SET state = 'running', reason = '', wake_at = NULL, started_at = coalesce(started_at, :now)
 WHERE id = :id AND ended_at IS NULL;

-- advance_firing --
-- A step is over: keep its result and go to the next.
UPDATE firing SET cursor = :cursor, ctx = :ctx, state = 'running', reason = '', wake_at = NULL
 WHERE id = :id AND ended_at IS NULL;

-- end_firing --
-- The firing is over; no row means that it was before.
UPDATE firing SET state = :state, reason = :reason, wake_at = NULL, ended_at = :now
 WHERE id = :id AND ended_at IS NULL;

-- end_waits --
-- A firing that is over waits for nothing any more.
UPDATE step SET state = 'done', outcome = 'skipped', t_done = :now WHERE firing_id = :firing_id AND state = 'waiting';

-- keep_now --
-- The event with its object as it was read again: what the steps that follow see.
UPDATE firing SET now = :event WHERE id = :id;

-- open_steps_of --
-- The writes of one firing whose fate is open.
SELECT action_id FROM step WHERE firing_id = :firing_id AND state = 'intent';

-- put_step --
-- A step's row: an intent before its write leaves, or a finished step that needed none.
INSERT INTO step (action_id, firing_id, n, step_id, attempt, kind, api, tenant, target_kind, target_id, project_id,
                  state, outcome, epoch, request, probe, result, request_id, t_intent, t_done, verify_until)
VALUES (:action_id, :firing_id, :n, :step_id, :attempt, :kind, :api, :tenant, :target_kind, :target_id, :project_id,
        :state, :outcome, :epoch, :request, :probe, :result, :request_id, :now, :t_done,
        :verify_until);

-- settle_step --
-- Close an open intent; no row means that somebody closed it before.
UPDATE step SET state = :state, outcome = :outcome, result = :result, request_id = :request_id, t_done = :now,
                verify_until = :verify_until
 WHERE action_id = :action_id AND state = 'intent';

-- judge_step --
-- What the verification of a done step found.
UPDATE step SET outcome = :outcome, result = json_patch(result, :result), t_done = :now
 WHERE action_id = :action_id AND state = 'done';

-- close_wait --
-- A step has waited long enough.
UPDATE step SET state = 'done', outcome = :outcome, result = :result, t_done = :now
 WHERE action_id = :action_id AND state = 'waiting';

-- tries_of --
-- How the tries of a step ended that came to no good; attempts that never happened are no tries.
SELECT outcome FROM step
 WHERE firing_id = :firing_id AND n = :n AND outcome IN ('refused', 'failed', 'timed_out') ORDER BY attempt;

-- last_step --
-- The newest attempt at one step of a firing.
SELECT * FROM step WHERE firing_id = :firing_id AND n = :n ORDER BY attempt DESC LIMIT 1;

-- get_step --
-- One action.
SELECT * FROM step WHERE action_id = :action_id;

-- open_intents --
-- How many writes are of unknown fate now.
SELECT count(*) AS n FROM step WHERE state = 'intent';

-- put_notice --
-- Queue a notice for its channel.
INSERT INTO outbox (id, firing_id, n, notifier, payload, state, attempts, next_at, error, created_at)
VALUES (:id, :firing_id, :n, :notifier, :payload, 'ready', 0, :now, '', :now);

-- outcome_counts --
-- Writes to Dataphin by outcome: what a summary tells.
SELECT outcome, state, kind, count(*) AS n FROM step GROUP BY outcome, state, kind;

-- table_counts --
-- How much has been recorded.
SELECT (SELECT count(*) FROM event) AS events,
       (SELECT count(*) FROM firing WHERE state <> 'skipped') AS firings;
