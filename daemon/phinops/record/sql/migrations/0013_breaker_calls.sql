-- Writes that travelled in one call and were lost with it are one failure of a rule, not as many as there were targets.
ALTER TABLE breaker ADD COLUMN counted INTEGER;     -- when that call left, if the last failure was a lost one
