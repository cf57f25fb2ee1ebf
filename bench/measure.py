"""The measurements. Each returns what is to be kept; "plot" in it is a function that draws."""
import contextlib
import http.client
import os
import signal
import time
import urllib.parse

import zmq
import json

import report
import system
from system import System

QUICK = bool(os.environ.get("MYELIN_BENCH_QUICK"))
RUNS = 1 if QUICK else 3
NO_WORKERS = {"extract": 0, "chunk": 0, "embed": 0}
KINDS = {
    "notes": {"least": "2K", "most": "8K", "total": "8M" if QUICK else "48M", "outstanding": 256},
    "books": {"least": "100K", "most": "400K", "total": "8M" if QUICK else "48M", "outstanding": 16},
}


class Skip(Exception):
    """The measurement cannot run here; the text says why."""


def need_texts():
    if not system.TEXTS.is_dir():
        raise Skip(f"needs texts in {system.TEXTS} (set MYELIN_SHARED)")
    return system.TEXTS


def ask(up, path):
    """One GET over ZeroMQ; None when no answer comes within a second."""
    context = zmq.Context.instance()
    with contextlib.closing(context.socket(zmq.REQ)) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(up.address["req"])
        socket.send(json.dumps({"method": "GET", "path": path}).encode())
        if not socket.poll(1000):
            return None
        reply = json.loads(socket.recv_multipart()[0])
        return reply["body"] if reply["status"] == 200 else None


def submit():
    count = 4000 if QUICK else 40000
    points = []
    for clients in (1, 2, 4):
        for outstanding in (1, 16, 64, 256):
            if outstanding < clients:
                continue
            runs = []
            for _ in range(RUNS):
                with System(NO_WORKERS) as up:
                    up.load("submit", count=500, outstanding=64, name="warm-up")
                    runs.append(up.load("submit", clients=clients, outstanding=outstanding,
                                        count=max(500, count // 20) if outstanding == 1 else count))
            points.append({"clients": clients, "outstanding": outstanding,
                           **{key: report.median([run[key] for run in runs])
                              for key in ("per_second", "p50_us", "p99_us", "max_us")},
                           "runs": [round(run["per_second"]) for run in runs]})
    report.table(["clients", "outstanding", "submits/s", "p50 ms", "p99 ms", "of runs"],
                 [[p["clients"], p["outstanding"], f"{p['per_second']:,.0f}", f"{p['p50_us'] / 1000:.2f}",
                   f"{p['p99_us'] / 1000:.2f}", " ".join(f"{run:,}" for run in p["runs"])] for p in points])

    def plot(axes):
        for clients in (1, 2, 4):
            mine = [p for p in points if p["clients"] == clients]
            axes.plot([p["outstanding"] for p in mine], [p["per_second"] for p in mine], marker="o",
                      label=f"{clients} client{'s' * (clients > 1)}")
        axes.set(xscale="log", xlabel="requests outstanding, all clients together", ylabel="durable submits/s", ylim=0,
                 title="Submits of 1 KiB notes, synced before the answer")
        axes.set_xticks([1, 16, 64, 256], ["1", "16", "64", "256"])
        axes.legend(frameon=False)
    return {"points": points, "bytes": 1024, "plot": plot}


def ceiling(kind, threads=2):
    texts = need_texts()
    sizes = {key: value for key, value in KINDS[kind].items() if key != "outstanding"}
    with system.directory() as directory:
        return system.run("bench-ceiling", texts=texts, data=os.path.join(directory, "data"), threads=threads, **sizes)


def through(kind, workers):
    """All documents of a kind through a system of their own; with the CPU time of each program."""
    with System(workers) as up:
        up.load("pipeline", texts=need_texts(), name="warm-up", least="2K", most="8K", total="512K")
        before = up.cpu()
        result = up.load("pipeline", texts=need_texts(), name="run", **KINDS[kind])
        after = up.cpu()
        result["cpu_seconds"] = {name: round(after[name] - before.get(name, 0.0), 2) for name in after}
        if result["failed"]:
            raise RuntimeError(f"{result['failed']} documents failed")
        return result


def middle(runs, key="documents_per_second"):
    """The run that is the median."""
    return sorted(runs, key=lambda run: run[key])[len(runs) // 2]


def pipeline():
    need_texts()
    result = {}
    rows, costs = [], []
    for kind in KINDS:
        alone, piped = [], []
        for _ in range(RUNS):  # turn about, so that both meet the same machine
            alone.append(ceiling(kind))
            piped.append(through(kind, {"extract": 2, "chunk": 2, "embed": 2}))
        top, run = middle(alone), middle(piped)
        ratio = run["documents_per_second"] / top["documents_per_second"]
        result[kind] = {"ceiling": top, "pipeline": run, "ratio": round(ratio, 3),
                        "ceiling_runs": [r["documents_per_second"] for r in alone],
                        "pipeline_runs": [r["documents_per_second"] for r in piped]}
        rows.append([kind, f"{run['documents']:,}", f"{run['bytes'] / run['documents'] / 1000:.1f}",
                     f"{run['documents_per_second']:,.0f}", f"{run['mb_per_second']:.1f}",
                     f"{top['documents_per_second']:,.0f}", f"{top['mb_per_second']:.1f}", f"{100 * ratio:.0f} %"])
        for name, seconds in sorted(run["cpu_seconds"].items()):
            costs.append([kind, name, f"{seconds:.2f}", f"{1e6 * seconds / run['documents']:,.0f}"])
        for name, seconds in top["cpu_seconds"].items():
            costs.append([kind, f"in one process: {name}", f"{seconds:.2f}",
                          f"{1e6 * seconds / top['documents']:,.0f}"])
    report.table(["documents", "count", "KB each", "pipeline/s", "MB/s", "one process/s", "MB/s", "ratio"], rows)
    print()
    report.table(["documents", "where CPU time goes", "seconds", "µs a document"], costs)

    def plot(axes):
        kinds = list(result)
        for offset, (key, label) in enumerate((("ceiling", "one process, two threads"),
                                               ("pipeline", "pipeline, two workers per stage"))):
            bars = axes.bar([i + 0.36 * offset for i in range(len(kinds))],
                            [result[kind][key]["mb_per_second"] for kind in kinds], width=0.34, label=label)
            axes.bar_label(bars, fmt="%.1f")
        axes.set_xticks([i + 0.18 for i in range(len(kinds))], ["notes of 2–8 KB", "books of 100–400 KB"])
        axes.set(ylabel="MB/s", title="From submit to searchable, against the same work in one process")
        axes.legend(frameon=False)
    return {**result, "plot": plot}


def scale():
    need_texts()
    most = 2 if QUICK else max(4, len(os.sched_getaffinity(0)))
    points = []
    for count in range(1, most + 1):
        workers = {"extract": count, "chunk": count, "embed": count}
        runs = {kind: [through(kind, workers)["documents_per_second"] for _ in range(RUNS)] for kind in KINDS}
        points.append({"workers": count, **{kind: report.median(values) for kind, values in runs.items()}})
    report.table(["workers per stage", *(f"{kind}/s" for kind in KINDS)],
                 [[p["workers"], *(f"{p[kind]:,.1f}" for kind in KINDS)] for p in points])

    def plot(axes):
        for kind in KINDS:
            axes.plot([p["workers"] for p in points], [p[kind] / points[0][kind] for p in points], marker="o", label=kind)
        axes.axvline(len(os.sched_getaffinity(0)), color="grey", linestyle=":", label="cores")
        axes.set(xlabel="workers per stage", ylabel="documents/s, against one worker", ylim=0,
                 title="Workers per stage")
        axes.set_xticks([p["workers"] for p in points])
        axes.legend(frameon=False)
    return {"points": points, "plot": plot}


# Much to parse and next to nothing to store: a page takes extract some 50 ms.
PAGE = "<html><body>" + "<div><span><b><i></i></b></span></div>" * 30000 + "<p>Page {0} of {1}.</p></body></html>"


def hard_pages(up, name, count):
    """Pages a second, from the first submit until all have ended."""
    where = urllib.parse.urlsplit(up.address["http"])
    connection = http.client.HTTPConnection(where.hostname, where.port)
    ended = "completed_tasks", "failed_tasks", "cancelled_tasks"
    path = "/api/v1/document-processing/queue/status/"
    before = sum(ask(up, path)[key] for key in ended)
    start = time.monotonic()
    for i in range(count):
        connection.request("POST", "/api/v1/documents/", PAGE.format(i, name).encode(), {"X-Filename": f"{i}.html"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise RuntimeError(f"a submit was answered {answer.status}")
    while sum((ask(up, path) or {}).get(key, 0) for key in ended) < before + count:
        time.sleep(0.01)
    connection.close()
    return count / (time.monotonic() - start)


def all_memory(up):
    """MB of all processes, what they share counted once. Parsers come and go meanwhile."""
    found = 0
    for pid in up.processes():
        with contextlib.suppress(OSError):
            found += system.memory(pid)["pss"]
    return found


def workers():
    """In turns, so that what the machine does meanwhile hits all alike. A system that scales is warm when it is measured:
    once it has seen the kind of load, and once the other kind before."""
    texts, kind = need_texts(), KINDS["notes"]
    pages = 60 if QUICK else 300
    choices = {"1, 1, 1": (1, 1, 1), "2, 1, 2": (2, 1, 2), "4, 2, 4": (4, 2, 4), "1-4, 1-2, 1-4": ("1-4", "1-2", "1-4")}
    runs = {name: {"notes": [], "pages": [], "pss": [], "least": []} for name in choices}
    for number in range(RUNS):
        for name, counts in choices.items():
            with System(dict(zip(("extract", "chunk", "embed"), counts))) as up:
                up.load("pipeline", texts=texts, name="warm-up", least="2K", most="8K", total="512K")
                runs[name]["least"].append(all_memory(up))
                hard_pages(up, "warm-up", pages)
                runs[name]["notes"].append(up.load("pipeline", texts=texts, name=f"run-{number}",
                                                   **kind)["documents_per_second"])
                runs[name]["pages"].append(hard_pages(up, "run", pages))
                runs[name]["pss"].append(all_memory(up))
    points = [{"workers": name, **{key: report.median(values) for key, values in found.items()}, "runs": found}
              for name, found in runs.items()]
    report.table(["extract, chunk, embed", "notes/s", "hard pages/s", "PSS before MB", "after MB", "notes of runs"],
                 [[p["workers"], f"{p['notes']:,.0f}", f"{p['pages']:,.1f}", f"{p['least']:.0f}", f"{p['pss']:.0f}",
                   " ".join(f"{run:,.0f}" for run in p["runs"]["notes"])] for p in points])

    def plot(axes):
        places = range(len(points))
        for shift, key in ((-0.2, "notes"), (0.2, "pages")):
            axes.bar([at + shift for at in places], [p[key] / points[0][key] for p in points], 0.4, label=key)
        axes.set_xticks(list(places), [p["workers"] for p in points])
        axes.set(xlabel="workers: extract, chunk, embed", ylabel="documents/s, against one of each",
                 title="Fixed numbers of workers and ranges")
        axes.legend(frameon=False)
    return {"points": points, "plot": plot}


def latency():
    count = 20 if QUICK else 300
    runs = []
    for _ in range(RUNS):
        with System({"extract": 2, "chunk": 1, "embed": 2}) as up:
            up.load("latency", count=20, bytes=2048)
            runs.append(up.load("latency", count=count, bytes=2048))
    keys = ("submit_p50_us", "p50_us", "p90_us", "p99_us", "max_us")
    found = {key: report.median([run[key] for run in runs]) for key in keys}
    report.table(["2 KB note", "submit p50 ms", "searchable p50 ms", "p90 ms", "p99 ms", "most ms"],
                 [["idle system", *(f"{found[key] / 1000:.2f}" for key in keys)]])

    def plot(axes):
        bars = axes.barh(["submit p50", "searchable p50", "p90", "p99", "most"][::-1],
                         [found[key] / 1000 for key in keys][::-1])
        axes.bar_label(bars, fmt="%.1f")
        axes.set(xlabel="ms after the submit was sent", title="A 2 KB note on an idle system")
    return {**found, "runs": runs, "plot": plot}


def idle():
    seconds = 3 if QUICK else 20
    with System({"extract": 2, "chunk": 1, "embed": 2}) as up:
        if system.TEXTS.is_dir():
            up.load("pipeline", texts=system.TEXTS, name="warm-up", least="2K", most="8K", total="4M")
        time.sleep(2)  # what the work left behind is over
        before, start = up.cpu(), time.monotonic()
        time.sleep(seconds)
        spent = time.monotonic() - start
        after = up.cpu()
        rows = []
        for pid, name in sorted(up.processes().items(), key=lambda item: item[1]):
            rows.append({"program": name, **system.memory(pid)})
    cpu = 100 * sum(after[name] - before.get(name, 0) for name in after) / spent
    sums = {key: sum(row[key] for row in rows) for key in ("rss", "pss", "peak")}
    report.table(["program", "RSS MB", "PSS MB", "peak MB"],
                 [[row["program"], *(f"{row[key]:.1f}" for key in sums)] for row in rows]
                 + [["all", *(f"{sums[key]:.1f}" for key in sums)]])
    print(f"CPU of all processes together: {cpu:.2f} % of a core over {spent:.0f} s")

    def plot(axes):
        bars = axes.barh([row["program"] for row in rows][::-1], [row["pss"] for row in rows][::-1])
        axes.bar_label(bars, fmt="%.1f")
        axes.set(xlabel="PSS, MB", title=f"Idle: {sums['rss']:.0f} MB RSS, {sums['pss']:.0f} MB PSS, {cpu:.1f} % CPU")
    return {"cpu_percent": round(cpu, 3), "processes": rows, "sums": sums, "plot": plot}


def pending():
    count = 20000 if QUICK else 1000000
    with System(NO_WORKERS) as up:
        load = up.load("submit", clients=2, outstanding=512, count=count, bytes=100)
        full = system.memory(up.pid("myelin-broker"))
        os.kill(up.pid("myelin-broker"), signal.SIGKILL)
        start = time.monotonic()
        while not (status := ask(up, "/api/v1/document-processing/queue/status/")):
            if time.monotonic() - start > 120:
                raise RuntimeError("the broker did not come back")
        seconds = time.monotonic() - start
        if status["pending_tasks"] < count:
            raise RuntimeError(f"{count - status['pending_tasks']} tasks are missing after the restart")
        again = system.memory(up.pid("myelin-broker"))
    report.table(["pending tasks", "submits/s", "broker RSS MB", "peak MB", "restart s", "RSS after MB"],
                 [[f"{count:,}", f"{load['per_second']:,.0f}", f"{full['rss']:.0f}", f"{full['peak']:.0f}",
                   f"{seconds:.2f}", f"{again['rss']:.0f}"]])

    def plot(axes):
        bars = axes.bar(["full", "after the restart"], [full["rss"], again["rss"]], width=0.5)
        axes.bar_label(bars, fmt="%.0f")
        axes.set(ylabel="broker RSS, MB", title=f"{count:,} pending tasks; restart in {seconds:.1f} s")
    return {"count": count, "submit": load, "full": full, "restart_seconds": round(seconds, 3), "after": again,
            "plot": plot}
