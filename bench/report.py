"""How measurements are written down: tables, JSON, plots, the machine, stolen time."""
import json
import os
import pathlib
import platform
import statistics

OUT = pathlib.Path(__file__).resolve().parent / "out"


class Steal:
    """Share of CPU time that the hypervisor gave to others meanwhile."""

    def __enter__(self):
        self.before = self._read()
        self.percent = 0.0
        return self

    def __exit__(self, *_):
        spent = [after - before for before, after in zip(self.before, self._read())]
        self.percent = 100.0 * spent[7] / max(1, sum(spent[:8]))

    @staticmethod
    def _read():
        with open("/proc/stat") as file:
            return [int(field) for field in file.readline().split()[1:]]


def machine():
    cpu = "unknown CPU"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return {"cpu": cpu, "cores": cores, "memory_gb": round(memory, 1), "kernel": platform.release(),
            "text": f"{cores} cores of {cpu}, {memory:.0f} GB, Linux {platform.release()}"}


def median(values):
    return statistics.median(values)


def table(head, rows):
    """Right-aligned columns; the first one left."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))))


def save(name, result):
    OUT.mkdir(exist_ok=True)
    plot = result.pop("plot", None)
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    if plot:
        figure(name, plot)


def figure(name, plot):
    """`plot` draws on the axes it is given."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    drawn, axes = pyplot.subplots(figsize=(7, 4.2))
    plot(axes)
    axes.spines[["top", "right"]].set_visible(False)
    drawn.tight_layout()
    drawn.savefig(OUT / f"{name}.svg")
    pyplot.close(drawn)
