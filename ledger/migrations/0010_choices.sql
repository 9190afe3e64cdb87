-- Why the deployments of a call were chosen: for its receipt. The default is for entries before it, and for a ledger that
-- has not been restarted yet. What attempts tell of prices is in `attempts`, which takes any member.
ALTER TABLE ledger.entries ADD COLUMN choices jsonb NOT NULL DEFAULT '[]';
ALTER TABLE ledger.late ADD COLUMN choices jsonb NOT NULL DEFAULT '[]';

CREATE OR REPLACE VIEW ledger.every_entry AS SELECT * FROM ledger.entries UNION ALL SELECT * FROM ledger.late;
