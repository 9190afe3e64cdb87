-- What operators are told: an alert on a channel is a row, from when it is noticed until long after it was delivered.
-- `key`: what is told once. `next_at`: when it is tried again; a ledger that takes it up sets it to when another may, so
-- of several ledgers one delivers it at a time, and nothing is forgotten with one that is killed.
CREATE TABLE ledger.alerts (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- With the time from which on it was to be quiet, where it may be told again.
    key text NOT NULL,
    subject text NOT NULL,
    channel text NOT NULL,
    type text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    event_json text NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    next_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    delivered_at timestamptz,
    given_up boolean NOT NULL DEFAULT false,
    UNIQUE (key, channel)
);

CREATE INDEX alerts_waiting ON ledger.alerts (next_at) WHERE delivered_at IS NULL AND NOT given_up;
CREATE INDEX alerts_subject ON ledger.alerts (subject, noted_at);
