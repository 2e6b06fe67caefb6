"""Open the store and keep it until killed."""

from __future__ import annotations

import asyncio
import sys

from phinops.record.sqlite import Store


async def main() -> None:
    async with Store.open(sys.argv[1]):
        print("held", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
