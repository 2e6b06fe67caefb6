-- put_lease --
-- A pause that is about to leave ends by itself.
INSERT INTO node_lease (action_id, due) VALUES (:action_id, :due);

-- extend_leases --
-- The leases that run on a node last until then at least.
UPDATE node_lease SET due = :due
 WHERE state = 'open' AND firing_id IS NULL AND due < :due AND action_id IN (
    SELECT action_id FROM step
     WHERE tenant = :tenant AND target_id = :node_id AND target_kind = 'node' AND state IN ('intent', 'done', 'unknown', 'skipped'));

-- running_lease_on --
-- The lease that holds a node.
SELECT l.action_id AS action_id, l.due AS due FROM node_lease AS l JOIN step AS s ON s.action_id = l.action_id
 WHERE l.state = 'open' AND l.firing_id IS NULL AND s.tenant = :tenant AND s.target_id = :node_id
   AND s.target_kind = 'node' AND s.state IN ('intent', 'done', 'unknown', 'skipped')
 ORDER BY l.due DESC LIMIT 1;

-- open_leases --
-- Leases that are not over, with their pauses and with what resumes their nodes; the next one first.
SELECT l.action_id AS action_id, s.firing_id AS firing_id, l.due AS due, l.firing_id AS resuming, s.tenant AS tenant, s.project_id AS project_id,
       s.target_id AS node_id, s.state AS pause, s.t_intent AS t_intent, p.rule AS rule, p.rule_hash AS rule_hash,
       f.ended_at AS resumed_at, f.state AS firing_state, f.reason AS firing_reason, f.ctx AS ctx
  FROM node_lease AS l JOIN step AS s ON s.action_id = l.action_id JOIN firing AS p ON p.id = s.firing_id
  LEFT JOIN firing AS f ON f.id = l.firing_id
 WHERE l.state = 'open' ORDER BY l.due, s.seq;

-- begin_lease_end --
-- The lease is over, and a firing resumes its node; no row: it was before.
UPDATE node_lease SET firing_id = :firing_id WHERE action_id = :action_id AND state = 'open' AND firing_id IS NULL;

-- end_lease --
-- The lease is over for good; no row: it was before.
UPDATE node_lease SET state = :state, reason = :reason, ended_at = :now WHERE action_id = :action_id AND state = 'open';

-- list_leases --
-- The newest leases, of one tenant or of all.
SELECT l.action_id AS action_id, l.due AS due, l.state AS state, l.reason AS reason, l.firing_id AS firing_id,
       s.tenant AS tenant, s.project_id AS project_id, s.target_id AS node_id, s.state AS pause, s.t_intent AS t_intent,
       p.rule AS rule
  FROM node_lease AS l JOIN step AS s ON s.action_id = l.action_id JOIN firing AS p ON p.id = s.firing_id
 WHERE :tenant IN ('', s.tenant) ORDER BY s.seq DESC LIMIT :limit;

-- count_leases --
-- Leases that run.
SELECT count(*) AS n FROM node_lease AS l JOIN step AS s ON s.action_id = l.action_id
 WHERE l.state = 'open' AND s.state IN ('done', 'skipped');
