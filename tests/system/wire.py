"""The messages between Myelin's processes, for tests that play one of them: the tables are read from wire/messages.h."""
import re
import struct
import uuid

from harness import TREE

INTEGERS = {"u8": "<B", "u32": "<I", "u64": "<Q"}
STAGES = ("extract", "chunk", "embed", "storage")
PART, DONE, FAILED = range(3)  # outcomes of a result
BLOB, TEXT, MARKS, SPANS, VECTORS = 1, 2, 4, 8, 16  # columns


def read_tables():
    """(names of the kinds in order, {kind: [(field, type)]})"""
    source = (TREE / "wire/messages.h").read_text()
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.S).replace("\\\n", " ")
    macros = dict(re.findall(r"^#define WIRE_(\w+)\(F, S\)(.*)$", source, re.M))

    def fields(name):
        found = []
        for nested, form, field in re.findall(r"WIRE_(\w+) \(F, S\)|F \(S, (\w+), (\w+)\)", macros[name]):
            found += fields(nested) if nested else [(field, form)]
        return found
    rows = re.findall(r"X \((\w+), (\w+)\)", re.search(r"#define WIRE_MESSAGES\(X\)(.*)", source).group(1))
    return ["none"] + [name for _, name in rows], {name: fields(symbol) for symbol, name in rows}


KINDS, FIELDS = read_tables()


def encode(kind, values):
    assert values.keys() <= {name for name, _ in FIELDS[kind]}, (kind, values.keys())
    out = [bytes([1, KINDS.index(kind)])]
    for name, form in FIELDS[kind]:
        value = values.get(name)
        if form in INTEGERS:
            out.append(struct.pack(INTEGERS[form], value or 0))
        elif form == "uuid":
            out.append((value or uuid.UUID(int=0)).bytes)
        else:
            value = value.encode() if isinstance(value, str) else value or b""
            out.append(struct.pack("<I", len(value)) + value)
    return b"".join(out)


def decode(frame):
    kind, at, values = KINDS[frame[1]], 2, {}
    for name, form in FIELDS[kind]:
        if form in INTEGERS:
            values[name] = struct.unpack_from(INTEGERS[form], frame, at)[0]
            at += struct.calcsize(INTEGERS[form])
        elif form == "uuid":
            values[name] = uuid.UUID(bytes=frame[at:at + 16])
            at += 16
        else:
            size = struct.unpack_from("<I", frame, at)[0]
            values[name] = frame[at + 4:at + 4 + size]
            at += 4 + size
    assert frame[0] == 1 and at == len(frame), (kind, at, len(frame))
    return kind, values
