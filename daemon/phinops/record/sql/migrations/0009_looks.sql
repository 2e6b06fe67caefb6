-- What was settled by reading is read once more some minutes later.

ALTER TABLE step ADD COLUMN look_at INTEGER;                       -- when; null: not, or it was done
ALTER TABLE step ADD COLUMN doubled TEXT NOT NULL DEFAULT '';      -- what was found done more often than meant
CREATE INDEX step_to_look ON step (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX step_doubled ON step (doubled) WHERE doubled <> '';
