-- all_timers --
-- Every timer, the first due first.
SELECT tenant, object_id, what, due, body FROM timer ORDER BY tenant, due;

-- put_timer --
-- Sets a timer.
INSERT INTO timer (tenant, object_id, what, due, body) VALUES (:tenant, :object_id, :what, :due, :body)
    ON CONFLICT (tenant, object_id, what) DO UPDATE SET due = excluded.due, body = excluded.body;

-- drop_timer --
-- Drops a timer.
DELETE FROM timer WHERE tenant = :tenant AND object_id = :object_id AND what = :what;
