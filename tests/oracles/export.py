"""An export as pandas, polars and DuckDB see it, against the journal's own numbers.

usage: export.py FORM FOLDER STAT.json

STAT.json is what the test knows without reading the export: counts by kind, and
the sums of the units of 1e-9 that the journal's events hold.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import polars

def exact(units: int) -> Decimal:
    return Decimal(units).scaleb(-9)


def check(what: str, ours, theirs) -> None:
    if ours != theirs:
        sys.exit(f"{what}: {ours!r} is not {theirs!r}")


def parquet(folder: Path, stat: dict) -> None:
    con = duckdb.connect()

    def ask(query: str, *arguments):
        return con.execute(query, arguments).fetchone()

    def events(kind: str) -> str:
        return f"read_parquet('{folder}/events/kind={kind}/*/*.parquet', hive_partitioning = true)"

    # Every kind is there, with its count, and no other.
    found = {p.name.removeprefix("kind=") for p in (folder / "events").iterdir()}
    check("kinds", found - {"chain_contract"}, set(stat["kinds"]))
    for kind, count in stat["kinds"].items():
        check(f"rows of {kind}", ask(f"SELECT count(*) FROM {events(kind)}")[0], count)
    check("contracts", ask(f"SELECT count(*) FROM {events('chain_contract')}")[0], stat["contracts"])

    # Prices: exact decimals, whose sum is that of the journal's fixed point.
    for name, units in stat["sums"].items():
        kind, column = name.split(".")
        types = ask(f"SELECT any_value(typeof({column})) FROM {events(kind)}")[0]
        check(f"type of {name}", types, "DECIMAL(19,9)")
        got = ask(f"SELECT sum({column}) FROM {events(kind)}")[0]
        check(f"sum of {name} in DuckDB", got, exact(units))
        frame = polars.scan_parquet(f"{folder}/events/kind={kind}/**/*.parquet")
        got = frame.select(polars.col(column).sum()).collect().item()
        check(f"sum of {name} in polars", got, exact(units))
    # Nulls are nulls, not zeros.
    for name, count in stat["nulls"].items():
        kind, column = name.split(".")
        got = ask(f"SELECT count(*) FROM {events(kind)} WHERE {column} IS NULL")[0]
        check(f"nulls of {name}", got, count)

    # Times: nanoseconds in UTC.
    frame = polars.read_parquet(f"{folder}/events/kind=quote/**/*.parquet")
    check("type of recv", frame.schema["recv"], polars.Datetime("ns", "UTC"))
    check("first quote", frame["recv"].dt.epoch("ns").min(), stat["first_quote"])
    check("last quote", frame["recv"].dt.epoch("ns").max(), stat["last_quote"])
    first = ask(f"SELECT typeof(min(recv)), epoch_ns(min(recv)) FROM {events('quote')}")
    print("DuckDB has recv as", first[0])
    check("first quote in DuckDB", first[1], stat["first_quote"])
    check("hive date", str(ask(f"SELECT any_value(date) FROM {events('quote')}")[0]), stat["day"])

    # Units, definitions and hashes stand in the metadata.
    def metadata(path: str) -> dict:
        rows = con.execute(f"SELECT key, value FROM parquet_kv_metadata('{folder}/{path}')").fetchall()
        return {key.decode(): value.decode() for key, value in rows}

    got = metadata(f"events/kind=quote/date={stat['day']}/part.parquet")
    check("units", json.loads(got["orrery.units"])["bid"], "currency")
    check("version", got["orrery.version"], stat["version"])
    check("configuration", got["orrery.configuration"], stat["configuration"])
    check("same in polars", polars.read_parquet_metadata(
        folder / f"events/kind=quote/date={stat['day']}/part.parquet")["orrery.calendar"], "new-york")
    got = metadata(f"artifacts/family=gex/symbol=SPX/date={stat['day']}/part.parquet")
    check("profile", got["orrery.profile"], "gex/naive-oi@1")

    # Artifacts: one row a version, and what is taken out of a body is what it says.
    rows = con.execute(
        "SELECT family, count(*) FROM read_parquet("
        f"'{folder}/artifacts/**/*.parquet', hive_partitioning = true) GROUP BY family"
    ).fetchall()
    check("artifacts", dict(rows), stat["artifacts"])
    version, body = ask(
        f"SELECT version, body FROM read_parquet('{folder}/artifacts/family=gex/**/*.parquet') "
        "ORDER BY version DESC LIMIT 1"
    )
    body = json.loads(body)
    strikes = con.execute(
        "SELECT strike, net FROM read_parquet("
        f"'{folder}/tables/table=gex_by_strike/family=gex/**/*.parquet') WHERE version = ? "
        "ORDER BY strike", [version],
    ).fetchall()
    theirs = [(Decimal(repr(row["strike"])), row["net"]) for row in body["by_strike"]]
    check("strikes", [(s.normalize(), n) for s, n in strikes],
          [(s.normalize(), n) for s, n in theirs])
    for table in stat["tables"]:
        got = ask(f"SELECT count(*) FROM read_parquet('{folder}/tables/table={table}/**/*.parquet')")
        if not got[0]:
            sys.exit(f"no rows in {table}")
    tiles = ask(
        "SELECT count(*) FROM read_parquet("
        f"'{folder}/tables/table=heatmap_tiles/**/*.parquet') WHERE call_debit IS NOT NULL"
    )
    if not tiles[0]:
        sys.exit("no tile has a debit")


def arrow(folder: Path, stat: dict) -> None:
    for kind, count in stat["kinds"].items():
        frame = polars.read_ipc(folder / f"events/kind={kind}/date={stat['day']}/part.arrow")
        check(f"rows of {kind}", frame.height, count)
        check("type of recv", frame.schema["recv"], polars.Datetime("ns", "UTC"))
    for name, units in stat["sums"].items():
        kind, column = name.split(".")
        frame = polars.read_ipc(folder / f"events/kind={kind}/date={stat['day']}/part.arrow")
        check(f"type of {name}", frame.schema[column], polars.Decimal(19, 9))
        check(f"sum of {name}", frame[column].sum(), exact(units))
    for name, count in stat["nulls"].items():
        kind, column = name.split(".")
        frame = polars.read_ipc(folder / f"events/kind={kind}/date={stat['day']}/part.arrow")
        check(f"nulls of {name}", frame[column].null_count(), count)
    same(folder, stat)


def same(folder: Path, stat: dict) -> None:
    """The rows of Parquet, column by column."""
    paths = sorted(folder.glob("**/*.arrow"))
    if not paths:
        sys.exit(f"no file in {folder}")
    for path in paths:
        other = (stat["parquet"] / path.relative_to(folder)).with_suffix(".parquet")
        if not polars.read_ipc(path).equals(polars.read_parquet(other, hive_partitioning=False)):
            sys.exit(f"{path} and {other} differ")


def main() -> None:
    form, folder, stat = sys.argv[1], Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    stat["parquet"] = Path(stat.get("parquet", ""))
    {"parquet": parquet, "arrow": arrow, "same": same}[form](folder, stat)
    print(f"{form}: {sum(stat['kinds'].values())} events agree")


main()
