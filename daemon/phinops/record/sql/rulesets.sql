-- put_rule_set --
-- Keeps the rules that are in force together; one that is known is kept from now on as if it were new.
INSERT INTO rule_set (hash, body, first_at, last_at) VALUES (:hash, :body, :now, :now)
    ON CONFLICT (hash) DO UPDATE SET last_at = max(last_at, excluded.last_at);

-- put_rule_version --
-- Keeps a meaning of a rule; nothing happens when it is known.
INSERT INTO rule_version (hash, rule, body, first_at) VALUES (:hash, :rule, :body, :now)
    ON CONFLICT (hash) DO NOTHING;

-- get_rule_set --
-- The rules that were in force together.
SELECT body FROM rule_set WHERE hash = :hash;

-- rule_versions_of --
-- Meanings of rules; `hashes` is a JSON list.
SELECT hash, body FROM rule_version WHERE hash IN (SELECT value FROM json_each(:hashes));

-- get_rule_version --
-- One meaning of a rule.
SELECT body FROM rule_version WHERE hash = :hash;

-- forget_rule_sets --
-- Drops the sets that were last in force before a moment, but for those of older events that are kept still.
DELETE FROM rule_set
 WHERE last_at < :before AND hash NOT IN (SELECT rule_set FROM event WHERE received_at < :before);

-- forget_rule_versions --
-- Drops the meanings of rules that are in no set.
DELETE FROM rule_version
 WHERE hash NOT IN (SELECT version.value FROM rule_set, json_each(rule_set.body, '$.rules') AS version);
