"""Fill the store up to a limit on the size of files, as a full disk would, then lift the limit; print what happened."""

from __future__ import annotations

import asyncio
import json
import resource
import sys

from phinops.errors import StoreUnwritable
from phinops.record.sqlite import Store
from records import got, put

ROOM = 1_000_000


async def main(path: str) -> None:
    async with Store.open(path) as store:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
        written, reason = await fill(store)
        trouble = store.trouble
        present = [await got(store, f"{n}") is not None for n in range(written + 1)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await put(store, f"{written}", "x" * 2000)
        report = {"written": written, "reason": reason, "present": present, "trouble": [trouble, store.trouble]}
    print(json.dumps(report))


async def fill(store: Store) -> tuple[int, str]:
    """How many rows went in before one did not, and why it did not."""
    for n in range(10_000):
        try:
            await put(store, f"{n}", "x" * 2000)
        except StoreUnwritable as error:
            return n, str(error)
    raise AssertionError("the limit was never met")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
