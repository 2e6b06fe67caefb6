-- put_rule_set --
-- Keeps the rules that are in force together; nothing happens when the set is known.
INSERT INTO rule_set (hash, body, first_at) VALUES (:hash, :body, :now) ON CONFLICT (hash) DO NOTHING;

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
