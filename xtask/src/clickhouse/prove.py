"""Proves schema.sql and queries.sql on ClickHouse. Arguments: their folder, recorded events, a data folder, a number."""

import datetime
import ipaddress
import json
import os
import shutil
import sys
import time

from chdb.session import Session

DIST, RECORDED, DATA, EVENTS = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
ORIGINS = 1000
# As Vector's sink says it.
INSERT = "SETTINGS date_time_input_format='best_effort', input_format_skip_unknown_fields=0"


def statements(name):
    lines = (line for line in open(os.path.join(DIST, name)) if not line.lstrip().startswith("--"))
    return [text.strip() for text in "".join(lines).split(";\n") if text.strip()]


def plain(value):
    """Spellings that mean the same: an address, a time, a whole number with a fraction of zero."""
    if isinstance(value, (int, float)):
        return round(float(value), 9)
    if not isinstance(value, str):
        return value
    try:
        address = ipaddress.ip_address(value)
        return str(getattr(address, "ipv4_mapped", None) or address)
    except ValueError:
        pass
    try:
        whole, _, fraction = value.rstrip("Z").partition(".")
        return str(datetime.datetime.fromisoformat(whole)), fraction.rstrip("0")
    except ValueError:
        return value


class Engine:
    def __init__(self, path):
        shutil.rmtree(path, ignore_errors=True)
        self.session = Session(path)

    def ask(self, text, form="JSONEachRow"):
        answer = self.session.query(text, form)
        return [json.loads(line) for line in str(answer).splitlines() if line]

    def do(self, text):
        start = time.monotonic()
        self.session.query(text)
        return time.monotonic() - start

    def load(self, path):
        return self.do(f"INSERT INTO tracer.failures SELECT * FROM file('{path}', JSONEachRow) {INSERT}")

    def one(self, text):
        return next(iter(self.ask(text)[0].values()))


def same_again(engine):
    """The recorded events, loaded and read back, are the same."""
    told = [json.loads(line) for line in open(RECORDED)]
    shipped = os.path.join(DATA + "-recorded.ndjson")
    with open(shipped, "w") as file:
        for number, record in enumerate(told):
            file.write(json.dumps({**record, "origin": f"origin-{number}"}) + "\n")
    engine.load(shipped)
    form = "SETTINGS output_format_json_quote_64bit_integers=0, date_time_output_format='iso'"
    rows = engine.ask(f"SELECT * FROM tracer.failures {form}")
    found = {row.pop("origin"): row for row in rows}
    assert len(found) == len(told), f"{len(found)} of {len(told)} events"
    for number, record in enumerate(told):
        row = found[f"origin-{number}"]
        assert row.keys() == record.keys(), row.keys() ^ record.keys()
        for name, value in record.items():
            assert plain(row[name]) == plain(value), f"{name}: {row[name]!r} is not {value!r}"
    print(f"{len(told)} recorded events read back the same, {len(told[0])} fields each")


def multiply(engine, path):
    """A day of a fleet, made of the recorded events: other origins, times, rays, peers and processes."""
    times = -(-EVENTS // int(engine.one("SELECT count() FROM tracer.failures")))
    engine.do(f"""
        INSERT INTO FUNCTION file('{path}', JSONEachRow)
        SELECT recorded.* REPLACE (
            concat('origin-', leftPad(toString(rand(1) % {ORIGINS}), 4, '0')) AS origin,
            now64(9) - toIntervalMillisecond(rand(2) % 86400000) + toIntervalNanosecond(rand(3) % 1000000) AS time,
            if(isNull(ray), NULL, concat(lower(hex(rand64(4))), '-', ['AMS', 'FRA', 'LAX'][1 + rand(5) % 3])) AS ray,
            toIPv6(concat('173.245.48.', toString(rand(6) % 256))) AS peer_addr,
            toUInt16(1024 + rand(7) % 64000) AS peer_port,
            if(isNull(path), NULL, concat(path, '/', toString(rand(8) % 5000))) AS path,
            if(isNull(pid), NULL, toUInt32(1 + rand(9) % 4194304)) AS pid,
            if(isNull(age_ms), NULL, (rand(10) % 900000000) / 1000) AS age_ms,
            if(isNull(idle_ms), NULL, (rand(11) % 75000000) / 1000) AS idle_ms)
        FROM tracer.failures AS recorded
        CROSS JOIN numbers({times}) AS copies
        LIMIT {EVENTS}
        SETTINGS date_time_output_format='iso', output_format_json_quote_64bit_integers=0,
            engine_file_truncate_on_insert=1""")


def main():
    engine = Engine(DATA)
    for _twice in range(2):
        for statement in statements("schema.sql"):
            engine.do(statement)
    print(f"ClickHouse {engine.one('SELECT version()')}: schema.sql applied, and applied again")
    same_again(engine)
    fleet = DATA + "-fleet.ndjson"
    multiply(engine, fleet)
    for table in ("failures", "failures_per_minute"):
        engine.do(f"TRUNCATE TABLE tracer.{table}")
    took = engine.load(fleet)
    loaded = engine.one("SELECT count() FROM tracer.failures")
    assert int(loaded) == EVENTS, f"{loaded} of {EVENTS} events"
    size = os.path.getsize(fleet)
    print(f"{EVENTS} events of {ORIGINS} origins, {size / EVENTS:.0f} bytes each as NDJSON: loaded in {took:.1f} s")
    counted = engine.one("SELECT sum(failures) FROM tracer.failures_per_minute")
    assert int(counted) == EVENTS, f"{counted} counted by minute"
    for table in ("failures", "failures_per_minute"):
        engine.do(f"OPTIMIZE TABLE tracer.{table} FINAL")
        parts = f"FROM system.parts WHERE database = 'tracer' AND table = '{table}' AND active"
        held, rows = engine.one(f"SELECT sum(bytes_on_disk) {parts}"), engine.one(f"SELECT sum(rows) {parts}")
        print(f"{table}: {int(rows)} rows, {int(held) / 2**20:.1f} MiB on disk, {int(held) / EVENTS:.1f} bytes an event")
    ray = engine.one("SELECT ray FROM tracer.failures WHERE isNotNull(ray) LIMIT 1")
    for query in statements("queries.sql"):
        query = query.replace("7d1234567890abcd-LAX", ray)
        engine.ask(query)
        start = time.monotonic()
        rows = engine.ask(query)
        took = time.monotonic() - start
        assert rows, f"no answer to {query}"
        columns = ", ".join(list(rows[0])[:4])
        print(f"{took * 1000:7.0f} ms {len(rows):7} rows: {columns}, …")
    os.remove(fleet)


main()
