-- What is kept of the past, and how it is let go.

-- Lines of the audit outlive what they are about: each says itself whose doing it was, on which event, by which action.
ALTER TABLE audit ADD COLUMN action_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN rule      TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN rule_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN event_id  TEXT NOT NULL DEFAULT '';

DROP TRIGGER audit_is_append_only;
UPDATE audit SET
    action_id = coalesce(json_extract(detail, '$.action'), ''),
    rule      = coalesce((SELECT rule FROM firing WHERE firing.id = audit.firing_id), ''),
    rule_hash = coalesce((SELECT rule_hash FROM firing WHERE firing.id = audit.firing_id), ''),
    event_id  = coalesce((SELECT event_id FROM firing WHERE firing.id = audit.firing_id), '');
CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'the audit is only ever added to');
END;

-- Retention may drop lines, from the oldest on: none goes while one that is older stays.
CREATE TRIGGER audit_goes_oldest_first BEFORE DELETE ON audit WHEN OLD.seq > (SELECT min(seq) FROM audit)
BEGIN
    SELECT raise(ABORT, 'the audit is dropped from its oldest line on, and nowhere else');
END;

CREATE INDEX audit_by_action ON audit (action_id) WHERE action_id <> '';

-- When events were last decided by the set: it is kept as long as any of them.
ALTER TABLE rule_set ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;
UPDATE rule_set SET last_at = coalesce((SELECT max(received_at) FROM event), first_at);
