-- put_audit --
-- Adds what was decided or done, by whoever owns the store now.
INSERT INTO audit (ts, epoch, firing_id, what, detail) VALUES (:now, :epoch, :firing_id, :what, :detail);

-- audit_of_firing --
-- Everything that was noted about one firing, in order.
SELECT seq, ts, epoch, what, detail FROM audit WHERE firing_id = :firing_id ORDER BY seq;
