-- Notices that are told in the message of another one. State is one of: ready merged sent dead.
ALTER TABLE outbox ADD COLUMN carrier TEXT;                        -- the notice in whose message this one is told
CREATE INDEX outbox_by_carrier ON outbox (carrier) WHERE carrier IS NOT NULL;
CREATE INDEX outbox_sent ON outbox (notifier, sent_at) WHERE state = 'sent';
