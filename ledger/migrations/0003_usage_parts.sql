-- What prices tell apart beyond the classes that have columns: sound, pictures, writes to a cache for an hour, the
-- service tier. Most calls have none of it; nothing is summed by it, but an entry can be priced again. The default is
-- for entries before it, and for a ledger that has not been restarted yet.
ALTER TABLE ledger.entries ADD COLUMN usage_parts jsonb NOT NULL DEFAULT '{}';
ALTER TABLE ledger.late ADD COLUMN usage_parts jsonb NOT NULL DEFAULT '{}';

CREATE OR REPLACE VIEW ledger.every_entry AS SELECT * FROM ledger.entries UNION ALL SELECT * FROM ledger.late;
