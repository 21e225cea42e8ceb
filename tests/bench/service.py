"""A program like a web service, for own_threads.py: threads that answer made-up requests of some
forty kinds with what the standard library has, which gives hundreds of different stacks.

    service.py SECONDS
"""

import base64
import csv
import datetime
import decimal
import difflib
import email.message
import hashlib
import html
import io
import json
import random
import re
import sqlite3
import string
import sys
import textwrap
import threading
import time
import tokenize
import urllib.parse
import uuid
import xml.etree.ElementTree as xml
import zlib

import cprof

THREADS = 4
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu".split()
ROWS = [{"id": i, "name": WORDS[i % 12], "price": i * 1.25, "tags": WORDS[:i % 5]} for i in range(60)]
SOURCE = "def f(a, b=1):\n    return [x * a + b for x in range(10) if x % 2]\n" * 4


def as_json(rows):
    return json.loads(json.dumps(rows, indent=1))


def as_csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, ["id", "name", "price", "tags"])
    writer.writeheader()
    writer.writerows(rows)
    return list(csv.reader(io.StringIO(file.getvalue())))


def as_xml(rows):
    root = xml.Element("rows")
    for row in rows:
        xml.SubElement(root, "row", {key: str(value) for key, value in row.items()})
    return xml.fromstring(xml.tostring(root)).findall("row")


def as_page(rows):
    line = string.Template("<li>$name: $price</li>")
    return "".join(line.substitute(row, name=html.escape(row["name"] + "&")) for row in rows)


def as_mail(rows):
    message = email.message.EmailMessage()
    message["Subject"] = rows[0]["name"]
    message.set_content(textwrap.fill(" ".join(row["name"] for row in rows)))
    return message.as_string()


def from_database(rows):
    with sqlite3.connect(":memory:") as base:
        base.execute("create table t (id, name, price)")
        base.executemany("insert into t values (:id, :name, :price)", rows)
        return base.execute("select name, sum(price) from t group by name order by 2").fetchall()


def by_query(rows):
    query = urllib.parse.urlencode([(row["name"], row["price"]) for row in rows])
    return urllib.parse.parse_qs(query)


def difference(rows):
    return list(difflib.unified_diff([r["name"] for r in rows], [r["name"] for r in rows[3:]]))


def signed(rows):
    digest = hashlib.sha256()
    for row in rows:
        digest.update(base64.b64encode(zlib.compress(repr(row).encode())))
    return uuid.uuid5(uuid.NAMESPACE_URL, digest.hexdigest())


def priced(rows):
    return sum(decimal.Decimal(row["price"]).quantize(decimal.Decimal("0.01")) for row in rows)


def dated(rows):
    day = datetime.datetime(2026, 1, 1)
    return [(day + datetime.timedelta(days=row["id"])).strftime("%Y-%m-%d %A") for row in rows]


def searched(rows):
    return [re.sub(r"(\w)(\w*)", lambda m: m[1].upper() + m[2], row["name"]) for row in rows]


def parsed(rows):
    return [token.string for token in tokenize.generate_tokens(io.StringIO(SOURCE).readline)]


ANSWERS = [as_json, as_csv, as_xml, as_page, as_mail, from_database, by_query, difference, signed,
           priced, dated, searched, parsed]


def checked(answer, rows):
    return answer(sorted(rows, key=lambda row: (row["name"], -row["id"])))


def logged(answer, rows):
    result = checked(answer, rows)
    return len(f"{answer.__name__} {len(rows)} {str(result)[:80]}")


ROUTES = [(layer, answer) for layer in (checked, logged, lambda answer, rows: logged(answer, rows[:30]))
          for answer in ANSWERS]


def serve(until):
    while time.monotonic() < until:
        layer, answer = random.choice(ROUTES)
        layer(answer, ROWS)


def main():
    until = time.monotonic() + float(sys.argv[1])
    cprof.start()
    threads = [threading.Thread(target=serve, args=[until]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
