-- Guards ask for each decision what is open on a key: that must not grow with what was ever decided on it.
CREATE INDEX firing_open ON firing (rule, key) WHERE ended_at IS NULL;

-- Metrics count outcomes at every scrape: from the index alone, not through the rows with their requests.
CREATE INDEX step_by_outcome ON step (outcome, state, kind);
