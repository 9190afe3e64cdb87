-- Which pepper made the tokens of the keys: a keystore that has another would find none of them, and would store keys
-- that no other keystore finds.
CREATE TABLE keystore.pepper (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fingerprint text NOT NULL
);
