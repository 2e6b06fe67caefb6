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
