"""A small shop's nightly run: the program that packaging/demo profiles.

Four threads do what real services do: one prices carts in plain Python, one reports through
SQLite's C code with a Python callback inside the query, one archives (JSON and zlib), and one
serves asyncio requests. Takes about five seconds and prints what it has done.
"""

import asyncio
import json
import random
import sqlite3
import threading
import time
import zlib

SECONDS = 5.0


class Cart:
    def __init__(self, rng):
        self.lines = [(rng.randrange(1, 9), rng.random() * 100) for _ in range(60)]

    def total(self):
        return sum(count * self.discounted(price) for count, price in self.lines)

    def discounted(self, price):
        if price > 80:
            return price * 0.9
        return price


def price_carts(deadline, done):
    rng = random.Random(1)
    carts = [Cart(rng) for _ in range(200)]
    while time.monotonic() < deadline:
        carts.sort(key=Cart.total)
        done["carts priced"] += len(carts)


def report_sales(deadline, done):
    database = sqlite3.connect(":memory:")
    database.create_function("region", 1, region_of, deterministic=True)
    database.execute("create table sales (customer integer, amount real)")
    rng = random.Random(2)
    database.executemany(
        "insert into sales values (?, ?)",
        ((rng.randrange(500), rng.random() * 50) for _ in range(1000)),
    )
    query = "select region(customer), sum(amount), avg(amount * amount) from sales group by 1"
    while time.monotonic() < deadline:
        done["reports"] += len(database.execute(query).fetchall()) > 0


def region_of(customer):
    return ("north", "east", "south", "west")[customer % 4]


def archive_orders(deadline, done):
    rng = random.Random(3)
    orders = [{"id": i, "items": [rng.random() for _ in range(20)]} for i in range(400)]
    while time.monotonic() < deadline:
        done["bytes archived"] += len(zlib.compress(json.dumps(orders).encode(), 6))


async def handle_request(number):
    await asyncio.sleep(0)
    return await render_page(number)


async def render_page(number):
    return "".join(f"<li>{n * number % 97}</li>" for n in range(300))


async def serve(deadline, done):
    while time.monotonic() < deadline:
        pages = await asyncio.gather(*(handle_request(n) for n in range(50)))
        done["requests"] += len(pages)


def main():
    deadline = time.monotonic() + SECONDS
    done = {"carts priced": 0, "reports": 0, "bytes archived": 0, "requests": 0}
    workers = [
        threading.Thread(target=work, args=(deadline, done), name=name)
        for name, work in (
            ("pricing", price_carts),
            ("reports", report_sales),
            ("archive", archive_orders),
        )
    ]
    for worker in workers:
        worker.start()
    asyncio.run(serve(deadline, done))
    for worker in workers:
        worker.join()
    print(", ".join(f"{count:,} {what}" for what, count in done.items()))


if __name__ == "__main__":
    main()
