"""Real documents through the whole pipeline: every one ends, and the words that are in them are found in the chunks."""
import collections
import pathlib
import sys
import tempfile

from harness import TREE, Skip, chunks, pack, running

sys.path.insert(0, str(TREE / "tests" / "corpus"))
import recall  # noqa: E402

LEAST_MEAN = 0.90
MOST_SCANS = 10  # PDFs of the corpus that are pictures of text: nothing to be found in them without OCR
LEAST_DOCUMENTS = 200


def whole_text(items):
    """The document's text again: chunks overlap, and their byte ranges say by how much. Paths of archive entries are
    part of what was read."""
    text, end, paths = b"", 0, []
    for chunk in items:
        piece = chunk["text"].encode()
        text += b"\n" + piece if chunk["start"] >= end else piece[end - chunk["start"]:]
        end = max(end, chunk["end"])
        if chunk.get("path") and chunk["path"] not in paths:
            paths.append(chunk["path"])
    return text.decode("utf-8", "replace") + "\n" + "\n".join(paths)


def packed(documents, directory):
    """(kind, path, expected text) of archives made of documents whose text is known: the corpus has no such tar or 7z."""
    known = [(path, expected) for kind, path, expected in documents
             if expected and kind in ("txt", "md", "html", "docx", "odt")]
    for kind, how in (("tar", "pax"), ("7z", "7zip")):
        for start in range(0, len(known), 8):
            some = known[start:start + 8]
            path = pathlib.Path(directory) / f"packed-{start}.{kind}"
            pack(path, how, {f"folder/{document.name}": document.read_bytes() for document, _ in some})
            yield kind, path, "\n".join(f"folder/{document.name}\n{expected}" for document, expected in some)


def mean(found):
    return sum(score for score, _, _ in found) / len(found)


def test_every_document_ends_and_words_are_found():
    if not recall.corpus():
        raise Skip("needs the corpus: MYELIN_SHARED/corpus/formats")
    rows = []
    documents = list(recall.documents())
    with running(workers="extract=2,chunk=1,embed=2") as system, tempfile.TemporaryDirectory() as directory:
        for kind, path, expected in documents + list(packed(documents, directory)):
            reply = system.rest.submit(path.name, path.read_bytes(), "on_duplicate=reprocess")
            rows.append((kind, path, expected, reply["task"]["id"]))
        assert len(rows) >= LEAST_DOCUMENTS, f"only {len(rows)} documents"
        scores, outcomes = collections.defaultdict(list), collections.Counter()
        for kind, path, expected, task in rows:
            done = system.rest.wait(task, 240)
            outcomes[done["status"] if done["status"] != "failed" else done["error_code"]] += 1
            if done["status"] == "failed":
                assert done["error_code"] and done["error_message"], (path.name, done)
                assert done["error_code"] not in ("internal", "worker_lost", "protocol"), (path.name, done)
            if expected is not None:
                got = whole_text(chunks(system.rest, done["document_id"])) if done["status"] == "completed" else ""
                scores[kind].append((recall.recall(expected, got), path.name, done["error_code"]))
    print(f"    {len(rows)} documents: {dict(outcomes)}")
    for kind, found in scores.items():
        print(f"    {kind:5} {len(found):4} with expected text, mean recall {mean(found):.3f}")
    assert set(scores) == set(recall.FORMATS), f"nothing is known of {set(recall.FORMATS) - set(scores)}"
    every = sorted(row for found in scores.values() for row in found)
    scans = [row for row in every if row[2] == "empty_document" and row[1].endswith(".pdf")]
    readable = [row for row in every if row not in scans]
    for score, name, code in [row for row in readable if row[0] < 0.8]:
        print(f"    {score:.3f} {name} {code or ''}")
    by_format = sum(map(mean, scores.values())) / len(scores)
    print(f"    mean word recall: all {len(every)} documents {mean(every):.4f}; without {len(scans)} scans "
          f"{mean(readable):.4f}; mean of the formats {by_format:.4f}")
    assert len(scans) <= MOST_SCANS, scans
    assert mean(readable) >= LEAST_MEAN and by_format >= LEAST_MEAN


test_every_document_ends_and_words_are_found.seconds = 900
