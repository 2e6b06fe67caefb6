-- lease_take --
-- Owns the shard from now on, one epoch further; whoever held it before can write no more.
INSERT INTO lease (name, holder, epoch) VALUES (:name, :holder, 1)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, epoch = epoch + 1, expires = NULL;

-- lease_at_least --
-- Epochs go on from where another store's ended.
UPDATE lease SET epoch = max(epoch, :epoch);

-- lease_epoch --
-- The epoch of the one who owns the shard now.
SELECT epoch, holder FROM lease WHERE name = :name;

-- kv_get --
-- The value of a switch.
SELECT value FROM kv WHERE name = :name;

-- kv_put --
-- Sets a switch.
INSERT INTO kv (name, value, updated_at) VALUES (:name, :value, :now)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at;
