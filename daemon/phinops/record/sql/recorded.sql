-- newest_event --
-- When the newest event of a tenant was received.
SELECT received_at AS at FROM event WHERE tenant = :tenant ORDER BY seq DESC LIMIT 1;

-- events_from --
-- Events of a tenant in the order of their arrival, those received since a moment and after a number.
SELECT seq, id, body, received_at FROM event
 WHERE tenant = :tenant AND received_at >= :since AND seq > :after ORDER BY seq LIMIT :limit;

-- firings_of_event --
-- What rules made of an event, in order.
SELECT * FROM firing WHERE event_id = :event_id ORDER BY seq;

-- steps_of_firing --
-- Every attempt at the steps of a firing, in order.
SELECT * FROM step WHERE firing_id = :firing_id ORDER BY seq;

-- origin_of_action --
-- Which rule an action is of, which of its steps, and on which event.
SELECT f.rule AS rule, s.step_id AS step_id, f.event_id AS event_id
  FROM step AS s JOIN firing AS f ON f.id = s.firing_id WHERE s.action_id = :action_id;
