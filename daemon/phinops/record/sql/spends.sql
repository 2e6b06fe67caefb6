-- put_spend --
-- Adds calls to what a spender has spent; a negative number takes back.
INSERT INTO spend (account, day, hour, level, source, api, rule, firing, calls)
VALUES (:account, :day, :hour, :level, :source, :api, :rule, :firing, :calls)
    ON CONFLICT (account, day, hour, level, source, api, rule, firing) DO UPDATE SET calls = calls + excluded.calls;

-- spend_by --
-- The biggest spenders of a day by what the flags ask to be told apart, all of them or only the named rules or firings.
SELECT CASE WHEN :by_source THEN source ELSE '' END AS source,
       CASE WHEN :by_rule THEN rule ELSE '' END AS rule,
       CASE WHEN :by_firing THEN firing ELSE '' END AS firing,
       CASE WHEN :by_api THEN api ELSE '' END AS api,
       sum(calls) AS calls
  FROM spend
 WHERE account = :account AND day = :day AND level IN (SELECT value FROM json_each(:levels))
   AND (:named = '' OR (:named = 'rule' AND rule <> '') OR (:named = 'firing' AND firing <> ''))
 GROUP BY 1, 2, 3, 4 HAVING sum(calls) > 0
 ORDER BY calls DESC, 1, 2, 3, 4 LIMIT :limit;

-- spend_by_source --
-- The calls of a day by source and level.
SELECT source, level, sum(calls) AS calls FROM spend
 WHERE account = :account AND day = :day
 GROUP BY source, level HAVING sum(calls) > 0 ORDER BY source, level;

-- spend_in_hour --
-- The calls of one hour by level.
SELECT level, sum(calls) AS calls FROM spend
 WHERE account = :account AND day = :day AND hour = :hour GROUP BY level;

-- spend_accounts --
-- Everybody whose calls were ever counted.
SELECT DISTINCT account FROM spend;

-- spend_days --
-- The days that an account has spent on, the newest first.
SELECT DISTINCT day FROM spend WHERE account = :account ORDER BY day DESC;

-- spend_total --
-- Makes one total a day of the details from before a day.
INSERT INTO spend (account, day, hour, level, source, api, rule, firing, calls)
SELECT account, day, -1, level, source, api, rule, '', sum(calls) FROM spend
 WHERE account = :account AND day < :before AND hour >= 0
 GROUP BY account, day, level, source, api, rule
    ON CONFLICT (account, day, hour, level, source, api, rule, firing) DO UPDATE SET calls = calls + excluded.calls;

-- spend_forget_details --
-- Drops the details of which there is a total now.
DELETE FROM spend WHERE account = :account AND day < :before AND hour >= 0;

-- spend_forget --
-- Drops the days before one.
DELETE FROM spend WHERE account = :account AND day < :before;
