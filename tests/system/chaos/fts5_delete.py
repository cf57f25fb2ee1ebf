#!/usr/bin/python3
"""Shows that FTS5 can lose the deletion of one term of a row that was deleted, added and deleted again: SQLite alone,
nothing of ours, and the reason that the storage never adds a row again. fts5_delete.py [SEED].

Rows are added and deleted in transactions of many sizes, as the storage did it, in a table without content. In the end
the index is asked which rows it files words of. Exit code 1 when there is one that was deleted. With SQLite 3.40.1
seed 11 finds one after a minute, seeds 1 to 10 and 12 do not.
"""
import random
import sqlite3
import sys
import tempfile

WORDS = ("harbour lantern orchard quartz velvet thunder meadow copper island whistle marble saffron glacier ember "
         "canyon ribbon falcon timber anchor willow").split()
TRANSACTIONS = 400


def text(row):
    return f"only{row // 40} at{row} " + " ".join(random.Random(row).choices(WORDS, k=120))


class Index:
    def __init__(self, path):
        self.path = path
        self.open()
        self.db.execute("CREATE VIRTUAL TABLE c USING fts5(body, content='', columnsize=0)")
        self.db.execute("INSERT INTO c(c, rank) VALUES('hashsize', 4194304)")
        self.db.execute("INSERT INTO c(c, rank) VALUES('automerge', 8)")

    def open(self):
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")

    def again(self):
        self.db.close()
        self.open()

    def change(self, deleted, added):
        self.db.execute("BEGIN")
        for row in deleted:
            self.db.execute("INSERT INTO c(c, rowid, body) VALUES('delete', ?, ?)", (row * 1024 + 117, text(row)))
        for row in added:
            self.db.execute("INSERT INTO c(rowid, body) VALUES(?, ?)", (row * 1024 + 117, text(row)))
        self.db.execute("COMMIT")

    def rows(self):
        self.db.execute("CREATE VIRTUAL TABLE v USING fts5vocab(c, instance)")
        return {row // 1024 for row, in self.db.execute("SELECT DISTINCT doc FROM v")}


def run(seed, index):
    dice, live, following = random.Random(seed), {}, 1
    for _ in range(TRANSACTIONS):
        if dice.random() < 0.05:
            index.again()
        if dice.random() < 0.3 and live:
            keys = [dice.choice(list(live)) for _ in range(dice.choice([1, 1, 3]))]
            if dice.random() < 0.5:
                keys = list(live)[-dice.choice([1, 2, 5]):]
            keys = list(dict.fromkeys(keys))
            rows = [row for key in keys for row in live[key]]
            index.change(rows, [])
            if dice.random() < 0.2:  # as after a crash: what was deleted is added again, perhaps with others
                index.again()
                fresh = list(range(following, following + dice.choice([0, 1, 9])))
                following += len(fresh)
                if fresh:
                    live[fresh[0]] = fresh
                index.change([], rows + fresh)
                if dice.random() >= 0.5:
                    continue
                index.change(rows, [])
            for key in keys:
                del live[key]
        else:
            added = []
            for _ in range(dice.choice([1, 1, 2, 5])):
                count = dice.choice([1, 1, 1, 9, 9, 350, dice.choice([9, 2000])])
                live[following] = list(range(following, following + count))
                added += live[following]
                following += count
            index.change([], added)
    return {row for rows in live.values() for row in rows}


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    with tempfile.TemporaryDirectory() as place:
        index = Index(place + "/index")
        wanted = run(seed, index)
        found = index.rows()
        index.db.close()
    print(f"SQLite {sqlite3.sqlite_version}: {len(wanted)} rows, {len(found - wanted)} deleted ones are still filed, "
          f"{len(wanted - found)} are missing")
    return 1 if found != wanted else 0


if __name__ == "__main__":
    sys.exit(main())
