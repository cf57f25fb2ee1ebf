"""Reads /metrics as strictly as a scraper: the text format of Prometheus, 0.0.4."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LINE = re.compile(rf"({NAME})(?:\{{([^}}]*)\}})? ([-+0-9.eE]+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"$')


def parse(text):
    """{name: {labels as written: value}}, and {name: type}."""
    assert text.endswith("\n"), text[-50:]
    values, types, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped, f"a second HELP of {name}"
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and name not in values and kind in ("gauge", "counter"), line
            assert (kind == "counter") == name.endswith("_total"), line
            types[name] = kind
        else:
            match = LINE.match(line)
            assert match, line
            name, labels, value = match.group(1), match.group(2) or "", float(match.group(3))
            assert list(types)[-1] == name, f"{line} stands outside of its family"
            assert not labels or all(LABEL.match(label) for label in labels.split(",")), line
            assert labels not in values.setdefault(name, {}), line
            values[name][labels] = value
    assert helped == set(types), helped ^ set(types)
    return values, types


def scrape(rest):
    """{name: {labels as written: value}}"""
    answer = rest.get("/metrics")
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", answer.headers
    return parse(answer.raw.decode())[0]


def value(metrics, name, **labels):
    return metrics[name][",".join(f'{key}="{text}"' for key, text in labels.items())]
