"""Accounts, their keys, and how soon a change is seen by every process."""

from __future__ import annotations

import pytest
import pytest_twisted

from gateway.catalogue import CatalogueFault, Taken
from gateway.model import Account
from gateway.seal import SealBroken


@pytest_twisted.ensureDeferred
async def test_accounts_are_found_by_name_and_id(catalogue) -> None:
    alice = await catalogue.accounts.add("alice", display_name="Alice", email="a@example.com")
    assert len(bytes.fromhex(alice.id)) == 32
    bob = await catalogue.accounts.add("bob", canonical_id="b" * 64)
    assert bob == Account("b" * 64, "bob", "bob")
    assert await catalogue.accounts.find("alice") == alice == await catalogue.accounts.by_id(alice.id)
    assert await catalogue.accounts.find("carol") is None
    assert await catalogue.accounts.by_id("c" * 64) is None
    assert await catalogue.accounts.all() == [alice, bob]


@pytest_twisted.ensureDeferred
async def test_names_ids_and_access_keys_are_taken_once(catalogue) -> None:
    alice = await catalogue.accounts.add("alice", canonical_id="a" * 64)
    for taken in ({"name": "alice"}, {"name": "other", "canonical_id": "a" * 64}):
        with pytest.raises(Taken):
            await catalogue.accounts.add(**taken)
    await catalogue.accounts.add_key(alice.id, "AK", "secret")
    with pytest.raises(Taken):
        await catalogue.accounts.add_key(alice.id, "AK", "other")
    with pytest.raises(CatalogueFault):
        await catalogue.accounts.add_key("c" * 64, "AK2", "secret")
    assert await catalogue.accounts.signer("AK") == (alice, "secret")
    assert await catalogue.accounts.all() == [alice]


@pytest_twisted.ensureDeferred
async def test_keys_are_listed_without_their_secrets(catalogue, world) -> None:
    alice, bob = [await catalogue.accounts.add(name) for name in ("alice", "bob")]
    first = await catalogue.accounts.add_key(alice.id, "AK1", "one")
    world.clock.now += 1
    second = await catalogue.accounts.add_key(bob.id, "AK0", "two")
    assert await catalogue.accounts.keys() == [first, second]
    assert await catalogue.accounts.keys(bob.id) == [second]
    assert (second.access_key, second.account, second.created) == ("AK0", bob.id, world.clock.now)


@pytest_twisted.ensureDeferred
async def test_every_process_refuses_a_revoked_key_at_once(catalogue, world) -> None:
    other = world.open()
    alice = await catalogue.accounts.add("alice")
    assert await other.accounts.signer("AK") is None
    await catalogue.accounts.add_key(alice.id, "AK", "secret")
    assert await other.accounts.signer("AK") == await catalogue.accounts.signer("AK") == (alice, "secret")
    assert await catalogue.accounts.remove_key("AK") is True
    assert await other.accounts.signer("AK") is None
    assert await catalogue.accounts.signer("AK") is None
    assert await catalogue.accounts.remove_key("AK") is False


@pytest_twisted.ensureDeferred
async def test_a_known_signer_costs_no_second_look_at_its_rows(catalogue) -> None:
    alice = await catalogue.accounts.add("alice")
    await catalogue.accounts.add_key(alice.id, "AK", "secret")
    first = await catalogue.accounts.signer("AK")
    assert await catalogue.accounts.signer("AK") is first


@pytest_twisted.ensureDeferred
async def test_secrets_lie_sealed_and_bound_to_their_key(catalogue, world) -> None:
    alice = await catalogue.accounts.add("alice")
    await catalogue.accounts.add_key(alice.id, "AK1", "plain-secret-one")
    await catalogue.accounts.add_key(alice.id, "AK2", "plain-secret-two")
    assert all(b"plain-secret" not in path.read_bytes() for path in world.folder.rglob("*") if path.is_file())
    await catalogue._database.change(
        lambda connection: connection.execute(
            "UPDATE access_keys SET secret = (SELECT secret FROM access_keys WHERE access_key = 'AK1')"
        ).fetchall()
    )
    assert (await catalogue.accounts.signer("AK1"))[1] == "plain-secret-one"
    with pytest.raises(SealBroken):
        await catalogue.accounts.signer("AK2")
