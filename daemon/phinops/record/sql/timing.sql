-- events_received --
-- Every event of a tenant with the moment from which it was on record, oldest first.
SELECT body, received_at FROM event WHERE tenant = :tenant ORDER BY seq;

-- attempts_of_events --
-- Every attempt to write of a tenant, with the birth of its firing and the event that caused it, oldest first.
SELECT firing.event_id, firing.created_at, step.kind, step.target_id, step.state, step.outcome, step.t_intent
  FROM step JOIN firing ON firing.id = step.firing_id
 WHERE step.tenant = :tenant AND firing.event_id IS NOT NULL AND firing.mode = 'armed' ORDER BY step.seq;

-- firings_open --
-- How many firings of a tenant are not over.
SELECT count(*) AS n FROM firing WHERE tenant = :tenant AND ended_at IS NULL;
