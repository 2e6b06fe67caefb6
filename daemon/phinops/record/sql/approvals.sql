-- put_approval --
-- People are asked.
INSERT INTO approval (id, action_id, firing_id, n, tenant, rule, step_id, message, shown, asked_at, expires_at)
VALUES (:id, :action_id, :firing_id, :n, :tenant, :rule, :step_id, :message, :shown, :asked_at, :expires_at);

-- get_approval --
-- One question.
SELECT * FROM approval WHERE id = :id;

-- approval_of_step --
-- What people were asked last at a step of a firing.
SELECT * FROM approval WHERE firing_id = :firing_id AND n = :n ORDER BY seq DESC LIMIT 1;

-- list_approvals --
-- The newest questions, of one tenant or of all.
SELECT * FROM approval WHERE :tenant IN ('', tenant) ORDER BY seq DESC LIMIT :limit;

-- approvals_unanswered --
-- The questions that wait for an answer, oldest first.
SELECT * FROM approval WHERE answer = '' ORDER BY seq;

-- answer_approval --
-- The first answer that comes in time is the answer; no row means that this one is not.
UPDATE approval SET answer = :answer, by = :by, via = :via, reason = :reason, answered_at = :now
 WHERE id = :id AND answer = '' AND expires_at > :now;

-- expire_approval --
-- Nobody has answered in time; no row means that somebody had.
UPDATE approval SET answer = 'expired', outcome = 'timed_out' WHERE id = :id AND answer = '' AND expires_at <= :now;

-- settle_approval --
-- What the answer came to.
UPDATE approval SET outcome = :outcome, why = :why WHERE id = :id AND outcome = '';

-- void_approvals --
-- A firing that is over asks nobody any more, and what was answered comes to nothing.
UPDATE approval SET answer = CASE answer WHEN '' THEN 'void' ELSE answer END, outcome = 'skipped', why = :why
 WHERE firing_id = :firing_id AND outcome = '';

-- open_approvals --
-- How many questions wait for an answer.
SELECT count(*) AS n FROM approval WHERE answer = '';
