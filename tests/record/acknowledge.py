"""Write rows from many tasks at once and print the name of each as soon as it is acknowledged, until killed."""

from __future__ import annotations

import asyncio
import os
import sys

from phinops.record.sqlite import Store
from records import put


async def main(path: str) -> None:
    async with Store.open(path) as store, asyncio.TaskGroup() as tasks:
        for task in range(16):
            tasks.create_task(write(store, f"{store.epoch}-{task}"))


async def write(store: Store, prefix: str) -> None:
    for n in range(1_000_000):
        name = f"{prefix}-{n}"
        await put(store, name, "x" * 300)
        os.write(sys.stdout.fileno(), f"{name}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
