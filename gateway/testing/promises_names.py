"""Promises about names: every legal shape, lists in byte order, refusals that are declared."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BackendError
from gateway.model import DeleteRequest, ListRequest
from gateway.testing.pours import sample
from gateway.testing.stage import Stage, promise

# Behind the folder's 13 characters; folders and files mixed, so that a walk must take them in one order.
LISTED = ["/0", "0/a/1", "0/a0", "0/b/0", "00", "0a/x", "1/z", "1a", "a", "aa", "z/1/0", "z/1/1", "z/10"]
LEGAL = ["", "0", "z" * 27, "/0", "/" + "a" * 40, "/a/b", "/" + "0" * 40 + "/" + "9" * 25, "/aux/con", "/0/00000"]
STRANGE = [
    "",
    "/",
    "..",
    "a/../b",
    "./a",
    "a//b",
    "a/",
    "/a",
    "A",
    "a b",
    "a\n",
    "a\x00b",
    "a%2fb",
    "ž",
    "x" * 300,
    "a/b/c/d/e",
    "-",
    "*",
]


class NamePromises(Stage):
    @pytest.mark.parametrize("shape", LEGAL)
    @promise
    async def test_every_legal_name_is_kept(self, subject: Any, folder: str, shape: str) -> None:
        """Accept every opaque name: letters a-z, digits and up to two slashes; refuses() gives None for them."""
        name = folder + shape
        reason = subject.capabilities.refuses(name)
        assert reason is None, f"refuses({name!r}) is {reason!r}: every opaque name must be accepted"
        await self.keep(subject, name, shape.encode())
        assert await self.fetch(subject, name) == shape.encode()
        assert [blob.name for blob in await self.listed(subject, folder)] == [name], "list spells the name otherwise"

    @pytest.mark.parametrize("strange", STRANGE)
    @promise
    async def test_strange_names_are_refused_or_kept(self, subject: Any, folder: str, strange: str) -> None:
        """Give a reason in capabilities.refuses for every name that would not come back or reaches another blob."""
        name = f"{folder}/{strange}" if strange else ""
        reason = subject.capabilities.refuses(name)
        assert reason is None or (isinstance(reason, str) and reason), f"refuses() gave {reason!r}: a reason, or None"
        neighbour = f"{folder}/b"
        await self.keep(subject, neighbour, b"neighbour")
        if reason is None:
            await self.keep(subject, name, b"strange")
            assert await self.fetch(subject, name) == b"strange", f"{name!r} is not refused and does not come back"
            await subject.delete(DeleteRequest(name=name))
        else:
            with pytest.raises(BackendError):
                await self.keep(subject, name, b"strange")
        assert await self.fetch(subject, neighbour) == b"neighbour", f"{name!r} reached another blob: refuse it"

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
    @promise
    async def test_lists_are_in_byte_order_across_pages(self, subject: Any, folder: str, limit: int) -> None:
        """List names in the order of their bytes ('/' before '0'), each once, not more on a page than asked for."""
        names = await self._fill(subject, folder)
        found = [blob.name for blob in await self.listed(subject, folder, limit=limit)]
        assert found == names, f"pages of {limit}: names in byte order, each once ('/' sorts before '0')"

    @promise
    async def test_lists_know_prefixes(self, subject: Any, folder: str) -> None:
        """Take a prefix for text, no folder: it may end anywhere in a name, or be a whole name."""
        names = await self._fill(subject, folder)
        for prefix in ("0", "0/", "0/a", "0/a/", "0/a/1", "0/a/1/", "z/1", "z/1/", "z", "zz", "/", "9"):
            expected = [name for name in names if name.startswith(folder + prefix)]
            for limit in (2, 1000):
                found = [blob.name for blob in await self.listed(subject, folder + prefix, limit)]
                assert found == expected, f"prefix {prefix!r}, pages of {limit}"

    @promise
    async def test_lists_start_after_any_text(self, subject: Any, folder: str) -> None:
        """Start a list behind the text `after`, itself excluded, whether or not a blob has that name."""
        names = await self._fill(subject, folder)
        for after in ("", "0", "0/", "0/a", "0/a/0", "0/a/1", "0/a/1/9", "0/zzz", "0a", "z/1/1", "z/10", "zzz"):
            expected = [name for name in names if name > folder + after]
            for limit in (2, 1000):
                found = [blob.name for blob in await self.listed(subject, folder, limit, folder + after)]
                assert found == expected, f"after {after!r}, pages of {limit}: names after it, itself excluded"

    @promise
    async def test_the_last_page_says_so(self, subject: Any, folder: str) -> None:
        """Set ListResult.after to None where no name is left for another page."""
        assert (await subject.list(ListRequest(prefix=folder))).after is None, "an empty list has no next page"
        names = await self._fill(subject, folder)
        page = await subject.list(ListRequest(prefix=folder, limit=len(names)))
        assert page.after is None or not (await subject.list(ListRequest(prefix=folder, after=page.after))).blobs

    @promise
    async def test_a_list_shows_what_a_head_shows(self, subject: Any, folder: str) -> None:
        """Tell in list what head tells of each blob: the size of its bytes alone."""
        for number in range(3):
            await self.keep(subject, f"{folder}/{number}", sample(number * 1000), metadata={"number": str(number)})
        for number, blob in enumerate(await self.listed(subject, folder)):
            size = await self.size_of(subject, blob.name)
            assert (blob.size, size) == (number * 1000, number * 1000), f"list says {blob.size}, head says {size}"

    async def _fill(self, subject: Any, folder: str) -> list[str]:
        names = sorted(folder + name for name in LISTED)
        for name in reversed(names):
            await self.keep(subject, name, name.encode())
        return names
