-- put_silence --
-- Silence rules for some time.
INSERT INTO silence (id, tenant, rule, node, project, instance, alert, starts_at, ends_at, author, reason)
VALUES (:id, :tenant, :rule, :node, :project, :instance, :alert, :starts_at, :ends_at, :author, :reason);

-- end_silence --
-- A silence is over before its time.
UPDATE silence SET ends_at = :now, ended_by = :by WHERE id = :id AND ends_at > :now;

-- running_silences --
-- What is silenced now.
SELECT * FROM silence WHERE ends_at > :now AND starts_at <= :now ORDER BY seq;

-- list_silences --
-- The newest silences, or those of them that are not over.
SELECT * FROM silence WHERE (:ended OR ends_at > :now) ORDER BY seq DESC LIMIT :limit;
