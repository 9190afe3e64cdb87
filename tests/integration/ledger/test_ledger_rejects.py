"""One entry that cannot be kept stops nobody else's, and is kept for a person."""

from __future__ import annotations

from gateway.v1 import ledger_pb2


async def test_a_malformed_id_does_not_wedge_the_stream(ledger_url, start_ledger, new_entry, acknowledged, sql):
    ledger = await start_ledger(ledger_url)
    link = await ledger.link()
    bad = new_entry(dispatch_id=b"short")
    frames = [
        ledger_pb2.RecordFrame(sequence=1, entry=new_entry()),
        ledger_pb2.RecordFrame(sequence=2, entry=bad),
        ledger_pb2.RecordFrame(sequence=3),
        ledger_pb2.RecordFrame(sequence=4, entry=new_entry()),
        ledger_pb2.RecordFrame(sequence=5, entry=bad),
    ]
    for frame in frames:
        link.send(frame)
    await acknowledged(link, 5)
    assert (ledger.count("stored"), ledger.count("rejected")) == (2, 3)
    rejected = await sql.fetch("SELECT entry FROM ledger.rejected ORDER BY length(entry)")
    assert [ledger_pb2.Entry.FromString(row["entry"]) for row in rejected] == [ledger_pb2.Entry(), bad]


async def test_an_impossible_value_is_found_among_many(
    ledger_url, start_ledger, new_entry, acknowledged, sql, assert_sums
):
    """Two costs that together overflow the hour's sum: each is possible, their sum is not."""
    ledger = await start_ledger(ledger_url)
    link = await ledger.link()
    for sequence in range(1, 101):
        huge = sequence in (30, 31, 77)
        entry = new_entry(cost_nano_usd=(1 << 62) + 1 if huge else 1)
        link.send(ledger_pb2.RecordFrame(sequence=sequence, entry=entry))
    await acknowledged(link, 100)
    assert (ledger.count("stored"), ledger.count("rejected")) == (98, 2)
    assert await sql.fetchval("SELECT count(*) FROM ledger.rejected") == 2
    await assert_sums()


async def test_no_name_keeps_a_call_out_of_the_account(store, new_entry, assert_sums):
    """A caller chooses some names: neither NUL nor length may make PostgreSQL refuse the entry."""
    awkward = ["\0", "a\0b", "\U0001f600" * 5_000, '"quoted", (comma)', "\\", "\u2028"]
    entries = [
        new_entry(call_id=text, key_id=text, user_id=text, model_group=text, tags=(text, text), provider=text)
        for text in awkward
    ]
    for entry in entries:
        entry.principal.end_user_id = entry.principal.team_id = entry.call_id
        entry.attempts[0].deployment_id = entry.deployment_id = entry.call_id
    assert (await store.write(entries)).stored == len(awkward)
    await assert_sums()
