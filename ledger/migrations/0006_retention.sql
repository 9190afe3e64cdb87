-- When an entry was kept. One whose time is past retention already goes to `late`; it stays there as long as any other,
-- for until then it may come again and must be known. The default is for a ledger that has not been restarted yet, too.
ALTER TABLE ledger.entries ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE ledger.late ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
