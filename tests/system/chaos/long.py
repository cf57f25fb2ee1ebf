#!/usr/bin/python3
"""The long form of the chaos tests: long.py [--kills N] [--seed S].

So many kills of real processes, compared with the journal; then a restart of everything with 100,000 tasks pending.
Exit code 0 only when nothing was lost, nothing doubled and the restart served within two seconds.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from harness import BIN, TASKS, running  # noqa: E402
from storm import keep_ports, storm  # noqa: E402

PENDING = 100000
RESTART_SECONDS = 2


def restart_with_pending():
    """Kills everything while 100,000 tasks wait; says how long it takes until they are served again."""
    with running(workers="extract=0,chunk=0,embed=0", args=["--user-tasks", "0"]) as system:
        keep_ports(system)
        done = subprocess.run([str(BIN / "bench-load"), "submit", "--req", system.addresses["req"], "--clients", "2",
                               "--outstanding", "512", "--count", str(PENDING), "--bytes", "100"],
                              stdout=subprocess.PIPE, check=True)
        print(f"    {PENDING:,} submits, {json.loads(done.stdout)['per_second']:,.0f}/s")
        seconds = []
        for _ in range(3):
            system.process.kill()
            system.process.wait()
            system.process.stdout.close()
            system.rest.close()
            began = time.monotonic()
            system.start()
            status = system.rest.get("document-processing/queue/status/").json
            seconds.append(time.monotonic() - began)
            assert status["pending_tasks"] == status["total_tasks"] == PENDING, status
            assert len(system.rest.get(TASKS + "?limit=200").json["items"]) == 200
        print(f"    served again after {', '.join(f'{value:.2f}' for value in seconds)} s")
        assert seconds[0] < RESTART_SECONDS, f"the first, which reads the log again, took {seconds[0]:.2f} s"


def main():
    options = argparse.ArgumentParser(description="kills real processes while they work")
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    print(f"== {given.kills} kills, seed {given.seed}", flush=True)
    began = time.monotonic()
    storm(given.kills, given.seed)
    print(f"    in {time.monotonic() - began:.0f} s\n== a restart with {PENDING:,} tasks pending", flush=True)
    restart_with_pending()


if __name__ == "__main__":
    main()
