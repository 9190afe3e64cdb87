-- The few entries without a price are found among all the others. No row of an index for any other entry.
CREATE INDEX entries_unpriced ON ledger.entries (dispatch_id) WHERE unpriced;
CREATE INDEX late_unpriced ON ledger.late (dispatch_id) WHERE unpriced;
