#!/usr/bin/python3
"""Word recall of extracted text against the expected texts of the corpus.

As a module: recall (expected, got) for two strings; documents (formats) walks the corpus.
As a program: recall.py "EXTRACT_FILE [--child]" [FORMAT…] runs the extractor on every document of these formats and prints a table
by format; --worst N lists the documents that recall the least; --all also runs formats without expected texts.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
import unicodedata

FORMATS = "txt md html pdf docx odt epub zip tar 7z".split()
SIDECARS = (".expected.txt", ".contains.json", ".contains-any.txt", ".password.txt", ".expected.md", ".expected.csv")
MEMBER = re.compile(r"^== (.*) \(\d+ bytes\)$")


def corpus():
    """Where the corpus is, or None."""
    shared = os.environ.get("MYELIN_SHARED") or pathlib.Path(__file__).resolve().parents[3] / "shared"
    path = pathlib.Path(shared) / "corpus" / "formats"
    return path if path.is_dir() else None


def words(text):
    return collections.Counter(re.findall(r"\w+", unicodedata.normalize("NFC", text).casefold()))


def recall(expected, got):
    """The share of the words of `expected` (each as often as it occurs there) that `got` has; 1.0 when there are none."""
    wanted = words(expected)
    found = wanted & words(got)
    total = sum(wanted.values())
    return sum(found.values()) / total if total else 1.0


def listing(text):
    """A member list of the corpus (`== NAME (N bytes)` lines) as what a reader of the archive would want to find."""
    lines = []
    for line in text.splitlines():
        member = MEMBER.match(line)
        if member:
            lines.append(member.group(1))
        elif line != "[binary]":
            lines.append(line)
    return "\n".join(lines)


def documents(formats=FORMATS):
    """(format, path, expected text or None) of every document."""
    root = corpus()
    for name in formats:
        for path in sorted((root / name).iterdir()):
            if path.name.endswith(SIDECARS) or not path.is_file():
                continue
            sidecar = path.with_name(path.name + ".expected.txt")
            expected = sidecar.read_text("utf-8", "replace") if sidecar.exists() else None
            if expected is not None and MEMBER.match(expected.split("\n", 1)[0]):
                expected = listing(expected)
            yield name, path, expected


def contained(path, got):
    """Phrases that must occur: (found, wanted), after the sidecar .contains.json, or (0, 0)."""
    sidecar = path.with_name(path.name + ".contains.json")
    if not sidecar.exists():
        return 0, 0
    rows = json.loads(sidecar.read_text("utf-8"))
    rows = rows if isinstance(rows, list) else rows.get("contains", [])
    flat = " ".join(got.split()).casefold()
    phrases = [row if isinstance(row, str) else row.get("text") or row.get("phrase") or "" for row in rows]
    phrases = [" ".join(p.split()).casefold() for p in phrases if p]
    return sum(p in flat for p in phrases), len(phrases)


def run(program, path, timeout):
    """(text, what the program said last, exit code, seconds); exit code None when it had to be killed."""
    began = time.monotonic()
    with subprocess.Popen([*shlex.split(program), str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            out, said = child.communicate(timeout=timeout)
            code = child.returncode
        except subprocess.TimeoutExpired:
            child.kill()
            out, said = child.communicate()
            code = None
    said = said.decode("utf-8", "replace").strip().splitlines()
    return out.decode("utf-8", "replace"), said[-1] if said else "", code, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("formats", nargs="*", default=FORMATS)
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--all", action="store_true", help="every directory of the corpus")
    options = parser.parse_args()
    if not corpus():
        print("recall: skipped, there is no corpus (set MYELIN_SHARED)")
        return 0
    formats = sorted(p.name for p in corpus().iterdir() if p.is_dir()) if options.all else options.formats
    rows = list(documents(formats))
    scores, table = [], collections.defaultdict(lambda: collections.Counter())
    values = collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda row: run(options.program, row[1], options.timeout), rows)
        for (name, path, expected), (got, said, code, seconds) in zip(rows, results):
            line = table[name]
            line["files"] += 1
            line["text" if code == 0 else "hung" if code is None else "refused" if code == 1 else "crashed"] += 1
            found, wanted = contained(path, got)
            line["phrases found"] += found
            line["phrases"] += wanted
            if found < wanted:
                scores.append((found / wanted, path, f"phrases; {said}"))
            if expected is not None:
                value = recall(expected, got)
                values[name].append(value)
                scores.append((value, path, said))
            if code not in (0, 1):
                scores.append((-1, path, f"exit {code} after {seconds:.0f} s: {said}"))
    print(f"{'format':10} {'files':>6} {'text':>6} {'refused':>8} {'crashed':>8} {'hung':>5} {'expected':>9} {'recall':>7} phrases")
    for name in formats:
        line, mean = table[name], values[name]
        print(f"{name:10} {line['files']:6} {line['text']:6} {line['refused']:8} {line['crashed']:8} {line['hung']:5} "
              f"{len(mean):9} {sum(mean) / len(mean) if mean else float('nan'):7.3f} {line['phrases found']}/{line['phrases']}")
    every = [value for mean in values.values() for value in mean]
    by_format = [sum(mean) / len(mean) for mean in values.values() if mean]
    if every:
        print(f"mean of {len(every)} documents {sum(every) / len(every):.4f}, of {len(by_format)} formats "
              f"{sum(by_format) / len(by_format):.4f}")
    for value, path, said in sorted(scores, key=lambda row: row[0])[: options.worst]:
        print(f"{value:6.3f} {path.parent.name}/{path.name}: {said}")
    return 1 if any(line["crashed"] or line["hung"] for line in table.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
