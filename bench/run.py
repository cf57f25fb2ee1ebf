#!/usr/bin/python3
"""Runs measurements: `run.py [NAME…]`, all of them without a name; `run.py --list` says what there is.

Programs come from $MYELIN_BIN (default: build/bin), texts from $MYELIN_SHARED/corpus/text. Each measurement prints a
table and writes out/NAME.json and out/NAME.svg. $MYELIN_BENCH_QUICK=1 makes all of them short, to see that they work.
"""
import sys

import backup
import measure
import report

MEASUREMENTS = {
    "submit": (measure.submit, "durable submits of 1 KiB notes, by clients and outstanding requests"),
    "pipeline": (measure.pipeline, "documents from submit to searchable, against the same work in one process"),
    "scale": (measure.scale, "the same with 1 to N workers per stage"),
    "workers": (measure.workers, "fixed numbers of workers against ranges, on notes and on pages that are hard to parse"),
    "latency": (measure.latency, "one note on an idle system, from its submit until a search finds it"),
    "idle": (measure.idle, "CPU and memory of all processes while nothing happens"),
    "backup": (backup.backup, "a backup while documents come: time, size, what others notice; verify and restore"),
    "pending": (measure.pending, "a million pending tasks: the broker's memory, and how long a restart takes"),
}


def main(names):
    if names == ["--list"]:
        for name, (_, text) in MEASUREMENTS.items():
            print(f"{name:10} {text}")
        return 0
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        print(f"bench: there is no {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    skipped = 0
    for name in names or MEASUREMENTS:
        function, text = MEASUREMENTS[name]
        print(f"\n=== {name}: {text}", flush=True)
        try:
            with report.Steal() as steal:
                result = function()
        except measure.Skip as reason:
            print(f"skipped: {reason}")
            skipped += 1
            continue
        result["machine"] = report.machine()
        result["steal_percent"] = round(steal.percent, 2)
        report.save(name, result)
        print(f"machine: {result['machine']['text']}; steal {steal.percent:.1f} %"
              + (" (above 5 %: run it again)" if steal.percent > 5 else ""), flush=True)
    return 1 if skipped and names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
