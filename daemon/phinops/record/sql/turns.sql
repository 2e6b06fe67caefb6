-- queued_firings --
-- The firings that wait for a key, the newest first: there is one, but while another takes its place.
SELECT * FROM firing WHERE tenant = :tenant AND rule = :rule AND key = :key
   AND ended_at IS NULL AND state = 'queued'
 ORDER BY seq DESC;

-- holders_of --
-- The other firings that hold a key, oldest first; one that waits for an absence does not hold it yet.
SELECT id, state FROM firing
 WHERE tenant = :tenant AND rule = :rule AND key = :key AND id <> :except
   AND ended_at IS NULL AND state IN ('waiting', 'ready', 'running', 'settling')
   AND NOT (state = 'waiting' AND json_extract(plan, '$.pattern.kind') IS 'absent')
 ORDER BY seq;

-- stop_firing --
-- A firing that is under way is to end at its next safe point.
UPDATE firing SET stop = :stop WHERE id = :id AND ended_at IS NULL;
