-- How many changes the polls of a source found first, by the hour in which they happened: what pacing learns from.
-- `part` is what one poll asks for: a project, or '' for a source that asks for the whole tenant at once.
CREATE TABLE change (
    tenant TEXT NOT NULL,
    source TEXT NOT NULL,
    part   TEXT NOT NULL,
    hour   INTEGER NOT NULL,            -- whole hours since 1970 in UTC
    found  INTEGER NOT NULL,
    PRIMARY KEY (tenant, source, part, hour)
) WITHOUT ROWID;

-- Each project is polled at its own pace, so each has a cursor of its own.
INSERT INTO cursor (tenant, source, body, good_at)
    SELECT cursor.tenant, cursor.source || '/' || project.key, project.value, cursor.good_at
      FROM cursor, json_each(cursor.body, '$.projects') AS project
     WHERE cursor.source IN ('instances', 'impacts');
DELETE FROM cursor WHERE source IN ('instances', 'impacts');
