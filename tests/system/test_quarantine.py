"""Documents that end their parser: what is kept of it, and that they are not tried again unasked."""
import json
import os
import pathlib
import signal
import tempfile

import pdf
from harness import TASKS, command, pack, running, wait_for

QUARANTINE = "document-processing/quarantine/"
SMALL = ["--parser-memory", "64M", "--parser-stall", "1"]


def document(mark):
    """A PDF that is fine, but for what a parser of 64 MiB can do."""
    return pdf.pages([[f"The word of this document is {mark}."] + ["One of very many lines of this page."] * 20000])


def entry(system, task):
    return next(item for item in system.rest.pages(QUARANTINE) if item["task"]["id"] == task)


def fails(system, name, content, query=""):
    reply = system.rest.submit(name, content, query)
    done = system.rest.wait(reply["task"]["id"])
    assert done["status"] == "failed", done
    return reply, done


def extract_jobs(system, task):
    """How many jobs of extract the task has had."""
    return sum(event.get("stage") == "extract" for event in system.rest.pages(f"{TASKS}{task}/events"))


def test_real_documents_end_real_parsers_and_the_quarantine_says_how():
    with running(workers="extract=1,chunk=1,embed=1", args=["--parser-stall", "1"]) as system:
        for name, content, code, attempts, words in (
                ("crash.pdf", pdf.that_crashes(), "parser_crashed", 3, "SIGSEGV"),
                ("never.pdf", pdf.that_never_ends(), "cpu_exceeded", 1, "--parser-stall")):
            reply, done = fails(system, name, content)
            assert done["error_code"] == code and words in done["error_message"], done
            item = entry(system, done["id"])
            fault = item["fault"]
            assert item["document"]["filename"] == name
            assert fault["code"] == code and fault["message"] == done["error_message"], fault
            assert (fault["stage"], fault["segment"], fault["attempts"], fault["poison"]) == (
                "extract", None, attempts, True), fault
            assert fault["worker"] and fault["at"] == done["completed_at"], fault
            assert extract_jobs(system, done["id"]) >= attempts
            again, refused = fails(system, f"other {name}", content)
            assert refused["error_code"] == "known_poison" and again["document"]["id"] == reply["document"]["id"]
            assert extract_jobs(system, refused["id"]) == 0
        # Those that come after it are nobody's victims.
        reply = system.rest.submit("after.pdf", document("after"))
        assert system.rest.wait(reply["task"]["id"])["status"] == "completed"


def test_the_last_words_of_a_parser_are_kept_also_over_a_restart():
    with running(workers="extract=1,chunk=1,embed=1", args=SMALL) as system:
        reply, done = fails(system, "big.pdf", document("big"))
        assert done["error_code"] == "memory_exceeded" and "--parser-memory" in done["error_message"], done
        fault = entry(system, done["id"])["fault"]
        assert fault["stderr"] == "Out of memory\n", fault
        system.process.kill()  # and everything with it
        system.process.wait()
        system.start()
        assert entry(system, done["id"])["fault"] == fault
        assert system.rest.get(TASKS + done["id"]).json["fault"] == fault
        shown = command("task", done["id"], server=system.addresses["http"])
        assert "Out of memory" in shown.stdout and "memory_exceeded" in shown.stdout, shown


def test_poison_is_known_under_any_name_after_restarts_and_tried_when_forced():
    with running(workers="extract=1,chunk=1,embed=1", args=SMALL) as system:
        content = document("poison")
        reply, done = fails(system, "first.pdf", content)
        assert done["error_code"] == "memory_exceeded", done
        _, refused = fails(system, "second.pdf", content)
        assert refused["error_code"] == "known_poison" and "first.pdf" in refused["error_message"], refused
        system.restart()
        _, refused = fails(system, "third.pdf", content)
        assert refused["error_code"] == "known_poison", refused
        assert system.rest.delete(f"documents/{reply['document']['id']}").status == 204
        _, refused = fails(system, "fourth.pdf", content)  # a new document of the same bytes
        assert refused["error_code"] == "known_poison" and extract_jobs(system, refused["id"]) == 0, refused

        server = system.addresses["http"]
        told = system.rest.post(f"{TASKS}{refused['id']}/process/", {})
        assert told.status == 422 and told.json["code"] == "known_poison", told
        told = system.rest.post(QUARANTINE + "retry", {"task_id": refused["id"]})
        assert told.status == 422 and told.json["code"] == "known_poison", told
        assert system.rest.post(QUARANTINE + "retry", {}).json == {"retried": 0, "known_poison": 1}
        assert "known_poison" in command("quarantine", server=server).stdout
        unforced = command("retry", refused["id"], server=server)
        assert unforced.returncode == 1 and "--force" in unforced.stderr, unforced

        # Forced it ends its parser again, and is remembered.
        _, forced = fails(system, "fifth.pdf", content, "force=true")
        assert forced["error_code"] == "memory_exceeded", forced
        _, refused = fails(system, "sixth.pdf", content)
        assert refused["error_code"] == "known_poison", refused

        system.args = ["--parser-memory", "1G"]  # now it can be read
        system.restart()
        _, refused = fails(system, "seventh.pdf", content)  # nobody knows that yet
        assert refused["error_code"] == "known_poison", refused
        assert command("retry", "--force", refused["id"], server=system.addresses["http"]).returncode == 0
        done = system.rest.wait(refused["id"])
        assert done["status"] == "completed", done
        reply = system.rest.submit("eighth.pdf", content, "on_duplicate=reprocess")  # it is harmless
        assert system.rest.wait(reply["task"]["id"])["status"] == "completed"


def test_all_ways_to_force():
    with running(workers="extract=1,chunk=1,embed=1", args=SMALL) as system:
        reply, done = fails(system, "a.pdf", document("ways"))
        task, jobs = done["id"], extract_jobs(system, done["id"])

        def tried_again(how):
            assert how.status == 202, how
            wait_for(lambda: extract_jobs(system, task) > jobs, 20, "it is tried")
            assert system.rest.wait(task)["error_code"] == "memory_exceeded"
            return extract_jobs(system, task)
        jobs = tried_again(system.rest.post(f"{TASKS}{task}/process/", {"force": True}))
        jobs = tried_again(system.rest.post(QUARANTINE + "retry", {"task_id": task, "force": True}))
        jobs = tried_again(system.rest.post(QUARANTINE + "retry", {"error_code": "memory_exceeded", "force": True}))
        new = {"document_id": reply["document"]["id"]}
        made = system.rest.post(TASKS, new)
        assert made.status == 202 and made.json["error_code"] == "known_poison", made
        made = system.rest.post(TASKS, {**new, "force": True})
        assert made.status == 202 and system.rest.wait(made.json["id"])["error_code"] == "memory_exceeded"
        over_zmq = system.req.call("POST", TASKS, {**new, "force": True})
        assert over_zmq.status == 202 and system.rest.wait(over_zmq.json["id"])["error_code"] == "memory_exceeded"
        for wrong in ("yes", 1, {}):
            assert system.rest.post(TASKS, {**new, "force": wrong}).status == 422


def test_what_reports_itself_damaged_and_workers_that_go_make_no_poison():
    with running(workers="extract=1,chunk=1,embed=1", args=["--parser-stall", "100"]) as system:
        for name, content in (("a.pdf", b"%PDF-1.4 and no more"), ("a.zip", b"PK\3\4 no archive"), ("a.txt", b" \n ")):
            _, first = fails(system, name, content)
            assert not entry(system, first["id"])["fault"]["poison"]
            _, again = fails(system, f"again {name}", content)
            assert again["error_code"] == first["error_code"] != "known_poison", (first, again)
        busy = system.rest.submit("busy.pdf", pdf.that_never_ends())["task"]["id"]
        for i in range(5):  # killed while it works on it, and drained by a restart
            wait_for(lambda: system.rest.get(TASKS + busy).json["attempts"] > i, 20, "the worker has it")
            killed = system.kill("extract")
            system.wait_for_children("extract", 1, without=(killed,))
        system.restart()
        assert system.rest.get(TASKS + busy).json["status"] == "processing"
        assert system.rest.put(TASKS + busy, {"status": "cancelled"}).status == 200
        reply = system.rest.submit("busy again.pdf", pdf.that_never_ends(), "on_duplicate=reprocess")
        assert reply["task"]["status"] != "failed" and reply["task"]["error_code"] is None, reply
        assert system.rest.delete(TASKS + reply["task"]["id"]).status == 204


def test_an_archive_that_takes_too_much_memory_says_so_and_is_no_poison():
    with running(workers="extract=1,chunk=1,embed=1", args=SMALL) as system, tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place) / "large.7z"
        pack(path, "7zip", {"a.txt": b"Words enough for a text. " * 4000}, "compression-level=9")  # a dictionary of 64 MiB
        _, done = fails(system, path.name, path.read_bytes())
        assert done["error_code"] == "memory_exceeded" and "--parser-memory" in done["error_message"], done
        assert not entry(system, done["id"])["fault"]["poison"]
        system.args = []
        system.restart()
        assert system.rest.post(f"{TASKS}{done['id']}/process/", {}).status == 202
        assert system.rest.wait(done["id"])["status"] == "completed"


def test_a_parser_that_somebody_kills_costs_no_page():
    """kill -9 of a parser is no fault of the page it was at: that page is read all the same."""
    with running(workers="extract=1,chunk=1,embed=1") as system:
        texts = [[f"page {page} line {i} with words enough" for i in range(60)] for page in range(1, 400)]
        task = system.rest.submit("long.pdf", pdf.pages(texts))["task"]["id"]
        worker, = system.children("extract")
        parser = wait_for(lambda: parsers_of(worker), 20, "a parser", 0.001)[0]
        os.kill(parser, signal.SIGKILL)
        done = system.rest.wait(task)
        result = system.rest.get(f"{TASKS}{task}/result").json
        assert done["status"] == "completed" and result["status"] == "success" and not result["warnings"], result


def parsers_of(worker):
    """The parsers that the zygote of an extract worker has."""
    with open(f"/proc/{worker}/task/{worker}/children") as file:
        zygotes = file.read().split()
    found = []
    for zygote in zygotes:
        with open(f"/proc/{zygote}/task/{zygote}/children") as file:
            found += [int(pid) for pid in file.read().split()]
    return found


def test_filters_of_the_quarantine_and_of_its_retry():
    with running(workers="extract=1,chunk=1,embed=1") as system:
        made = []
        for i in range(3):
            _, done = fails(system, f"{i}.pdf", f"%PDF-1.4 no {i}".encode(), f"priority={i + 1}")
            made.append(done)
        _, empty = fails(system, "empty.txt", b"  ")

        def listed(query):
            return [item["task"]["id"] for item in system.rest.pages(QUARANTINE + query)]
        assert listed("?error_code=damaged_document&order=asc") == [task["id"] for task in made]
        assert listed("?priority=2,3") == [made[2]["id"], made[1]["id"]]
        assert listed(f"?document_id={empty['document_id']}") == [empty["id"]]
        between = f"created_after={made[0]['created_at']}&created_before={made[2]['created_at']}"
        assert listed("?" + between.replace("+", "%2B")) == [made[1]["id"]]
        body = {"created_after": made[0]["created_at"], "created_before": made[2]["created_at"]}
        assert system.rest.post(QUARANTINE + "retry", body).json["retried"] == 1
        assert system.rest.post(QUARANTINE + "retry", {"priority": "1"}).json["retried"] == 1
        for field in ("task_id", "document_id", "error_code", "created_after", "force"):
            told = system.rest.post(QUARANTINE + "retry", {field: None})
            assert told.status == 422 and told.json["code"] == "invalid_value", (field, told)
        wait_for(lambda: len(listed("")) == 4, 20, "all have failed again")
        assert system.rest.post(QUARANTINE + "retry", {}).json["retried"] == 4


def test_a_failed_duplicate_is_answered_under_the_name_it_came_with():
    with running() as system:
        first, _ = fails(system, "first.pdf", b"%PDF-1.4 and no more")
        answer = system.rest.post("documents/", b"%PDF-1.4 and no more", headers={
            "X-Filename": "second.pdf", "Content-Type": "application/pdf"})
        assert answer.status == 201, answer
        reply = json.loads(answer.raw)
        assert reply["document"]["id"] == first["document"]["id"]
        assert reply["document"]["filename"] == "second.pdf", reply
        assert answer.headers["Location"] == "/api/v1/" + TASKS + reply["task"]["id"]
        system.rest.wait(reply["task"]["id"])
        assert entry(system, reply["task"]["id"])["document"]["filename"] == "second.pdf"
