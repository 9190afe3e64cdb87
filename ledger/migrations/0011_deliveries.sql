-- What is still to be delivered to others, webhooks and object storage: for each of them the batches of entries that have
-- arrived and not been taken. A batch is noted in the transaction that writes it, so nothing is ever missed or noted in
-- vain, whichever ledger writes and in whatever order transactions end; it is forgotten once it has been delivered.

-- Who is delivered to. `seen_at`: when a ledger was last told to. `holder`: the ledger that delivers, until `held_until`.
CREATE TABLE ledger.sinks (
    name text PRIMARY KEY,
    seen_at timestamptz NOT NULL,
    holder uuid,
    held_until timestamptz NOT NULL DEFAULT '-infinity'
);

-- `refusal`: why it has been set aside; NULL: it has not.
CREATE TABLE ledger.arrivals (
    sink text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    dispatch_ids uuid[] NOT NULL,
    arrived_at timestamptz NOT NULL DEFAULT now(),
    refusals integer NOT NULL DEFAULT 0,
    refusal text,
    PRIMARY KEY (sink, number)
);

-- Sinks that no ledger has been told of for a week get nothing more.
CREATE FUNCTION ledger.note_arrivals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger.arrivals (sink, dispatch_ids)
    SELECT sinks.name, batch.dispatch_ids
    FROM ledger.sinks, (SELECT array_agg(dispatch_id ORDER BY dispatch_id) AS dispatch_ids FROM fresh) AS batch
    WHERE sinks.seen_at > now() - interval '7 days' AND batch.dispatch_ids IS NOT NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER note_arrivals AFTER INSERT ON ledger.entries
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger.note_arrivals();

CREATE TRIGGER note_arrivals AFTER INSERT ON ledger.late
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION ledger.note_arrivals();
