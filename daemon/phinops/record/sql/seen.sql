-- seen_states --
-- What a source last saw of these objects; `ids` is a JSON list.
SELECT object_id, state FROM seen
 WHERE tenant = :tenant AND source = :source AND object_id IN (SELECT value FROM json_each(:ids));

-- seen_tracked --
-- The objects that a source follows until their end (of one project, or with an empty one all), with what it last saw.
SELECT object_id, state FROM seen
 WHERE tenant = :tenant AND source = :source AND tracked = 1
   AND (:project = '' OR json_extract(state, '$.project') = :project)
 ORDER BY object_id;

-- put_seen --
-- Keeps what a source saw of an object.
INSERT INTO seen (tenant, source, object_id, state, tracked, updated_at)
VALUES (:tenant, :source, :object_id, :state, :tracked, :now)
    ON CONFLICT (tenant, source, object_id) DO UPDATE
       SET state = excluded.state, tracked = excluded.tracked, updated_at = excluded.updated_at;

-- seen_forget --
-- Drops what a source will not be shown again.
DELETE FROM seen WHERE tenant = :tenant AND source = :source AND tracked = 0 AND updated_at < :before;

-- get_cursor --
-- How far a source has come, and when it last answered.
SELECT body, good_at FROM cursor WHERE tenant = :tenant AND source = :source;

-- put_cursor --
-- Moves a source's cursor.
INSERT INTO cursor (tenant, source, body, good_at) VALUES (:tenant, :source, :body, :now)
    ON CONFLICT (tenant, source) DO UPDATE SET body = excluded.body, good_at = excluded.good_at;

-- all_cursors --
-- When each source of a tenant last answered.
SELECT source, good_at FROM cursor WHERE tenant = :tenant ORDER BY source;
