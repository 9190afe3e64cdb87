-- Limits of a key: requests and tokens in a minute, calls at once. NULL: none.
ALTER TABLE keystore.keys
    ADD COLUMN rpm_limit bigint CHECK (rpm_limit >= 0),
    ADD COLUMN tpm_limit bigint CHECK (tpm_limit >= 0),
    ADD COLUMN max_parallel_requests bigint CHECK (max_parallel_requests >= 0);
