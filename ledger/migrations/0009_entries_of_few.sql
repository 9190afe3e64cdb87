-- Pages of one customer or one team, of which there may be thousands: among a million other entries theirs are few.
CREATE INDEX entries_team ON ledger.entries (team_id, dispatch_id);
CREATE INDEX entries_end_user ON ledger.entries (end_user_id, dispatch_id);
CREATE INDEX late_team ON ledger.late (team_id, dispatch_id);
CREATE INDEX late_end_user ON ledger.late (end_user_id, dispatch_id);
