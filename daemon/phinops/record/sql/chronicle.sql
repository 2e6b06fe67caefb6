-- every_event --
-- Every event, oldest first.
SELECT body, received_at FROM event ORDER BY seq;

-- every_firing --
-- Every decision that led to a firing or to a skipped one, oldest first.
SELECT * FROM firing ORDER BY seq;

-- every_step --
-- Every attempt at a step, oldest first.
SELECT * FROM step ORDER BY seq;
