"""The PUB feed: what a client sees that submits over ZeroMQ and follows."""
import json
import re
import subprocess
import urllib.parse
import uuid

import zmq

from harness import BIN, TREE, TASKS, Spoken, running, wait_for

NOTE = "Feeds feed those who follow. " * 20


def submit(system, name, text, query=None):
    answer = system.req.call("POST", "documents/", query=query, headers={"X-Filename": urllib.parse.quote(name)},
                             content=text.encode())
    assert answer.status == 201, answer
    return answer.json["task"]["id"]


def subscribed(system, *topics):
    """A feed whose subscription has reached the publisher: an event came through."""
    feed = system.feed(*topics)

    def heard():
        submit(system, "knock.txt", f"Knock {uuid.uuid4()}")
        return feed.next(1)
    first = wait_for(heard, 20, "the subscription is heard")
    while first or system.rest.get("document-processing/queue/status/").json["completed_tasks"] < \
            system.rest.get("document-processing/queue/status/").json["total_tasks"]:
        first = feed.next(0.2)
    return feed


def check_numbers(events):
    """Numbers rise by one; replays do not count."""
    numbers = [event["seq"] for event in events if not event.get("replay")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers


def test_a_req_client_follows_to_completed():
    with running() as system:
        feed = subscribed(system, "task.local.")
        task = submit(system, "followed.txt", NOTE)
        events = feed.until_final(task)
        names = [event["event"] for event in events]
        assert names[0] == "created" and names[1] == "started" and names[-1] == "completed", names
        progress = [event["task"]["progress"] for event in events]
        assert progress == sorted(progress) and progress[0] == 0 and progress[-1] == 100, progress
        check_numbers(events)
        assert all(event["at"] and event["task"]["user_id"] == "local" for event in events)
        feed.close()


def test_long_document_shows_progress_that_never_falls():
    with running() as system:
        feed = subscribed(system, "task.")
        text = "\n\n".join(f"Paragraph {i}. {NOTE}" for i in range(40000))  # about 25 MB: many segments
        task = submit(system, "long.txt", text)
        events = feed.until_final(task, 120)
        progress = [event["task"]["progress"] for event in events]
        assert events[-1]["event"] == "completed" and progress == sorted(progress), progress
        assert len(set(progress)) >= 5, progress
        check_numbers(events)
        feed.close()


def test_many_tasks_give_no_gap():
    with running() as system:
        feed = subscribed(system, "task.local.")
        tasks = {submit(system, f"{i}.txt", f"Document {i}. {NOTE}") for i in range(100)}
        events, progress = [], {}
        while tasks:
            got = feed.next(30)
            assert got, f"{len(tasks)} tasks never ended"
            topic, event = got
            task = event["task"]
            assert topic == f"task.local.{task['id']}"
            assert task["progress"] >= progress.get(task["id"], 0)
            progress[task["id"]] = task["progress"]
            events.append(event)
            if event["event"] == "completed":
                tasks.discard(task["id"])
        check_numbers(events)
        feed.close()


def test_subscribing_replays_the_last_event_of_live_tasks():
    with running(workers="extract=0") as system:
        tasks = {submit(system, f"{i}.txt", f"Live {i}") for i in range(3)}
        feed = system.feed("task.")
        seen = {}
        while set(seen) < tasks:
            topic, event = feed.next(10)
            seen[event["task"]["id"]] = event
        assert all(event["event"] == "created" for event in seen.values())
        feed.close()
        one = sorted(tasks)[0]
        feed = system.feed(f"task.local.{one}")
        topic, event = feed.next(10)
        assert event["task"]["id"] == one
        assert system.rest.put(TASKS + one, {"status": "cancelled"}).status == 200
        while event["event"] != "cancelled":
            topic, event = feed.next(10)
            assert event["task"]["id"] == one
        assert system.rest.delete(TASKS + one).status == 204
        while event["event"] != "deleted":
            topic, event = feed.next(10)
        feed.close()


def test_a_terminal_event_is_published_after_it_is_durable():
    with running() as system:
        feed = subscribed(system, "task.local.")
        for i in range(20):
            task = submit(system, f"{i}.txt", f"Durable {i}. {NOTE}")
            assert feed.until_final(task)[-1]["event"] == "completed"
            assert system.rest.get(TASKS + task).json["status"] == "completed"
            hits = system.rest.get("search?mode=text&q=durable+" + str(i)).json["hits"]
            assert hits, "completed, but not found"
        feed.close()


def test_queue_topic_while_something_changes():
    with running() as system:
        feed = system.feed("queue.local")

        def heard():
            submit(system, "q.txt", f"Queue {uuid.uuid4()}")
            return feed.next(1.5)
        topic, event = wait_for(heard, 20, "a queue event")
        assert topic == "queue.local" and event["queue"].keys() >= {"total_tasks", "stages"}, event
        feed.close()


def example(*arguments):
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=90)


def check_example(program, *before):
    with running() as system:
        documents = sorted((TREE / "examples" / "documents").iterdir())
        ended = example(*before, program, "--req", system.addresses["req"], "--pub", system.addresses["pub"],
                        *documents)
        assert ended.returncode == 0, ended
        lines = [re.match(r"(\S+) +(\d+)% +(\w+)", line).groups() for line in ended.stdout.splitlines()]
        progress = {}
        for task, percent, status in lines:
            assert int(percent) >= progress.get(task, (0, ""))[0], lines
            progress[task] = (int(percent), status)
        assert len(progress) == len(documents)
        assert all(last == (100, "completed") for last in progress.values()), progress
        empty = system.data / "empty.txt"
        empty.write_text("")
        failed = example(*before, program, "--req", system.addresses["req"], "--pub", system.addresses["pub"], empty)
        assert failed.returncode == 1 and "empty_document" in failed.stderr, failed


def test_the_c_example_submits_and_follows():
    check_example(BIN / "submit_and_follow")


def test_the_python_example_submits_and_follows():
    check_example(TREE / "examples" / "python" / "submit_and_follow.py", "/usr/bin/python3")


def test_a_c_client_that_follows_all_tasks_sees_no_gap():
    with running() as system, Spoken(BIN / "follow_all", "--pub", system.addresses["pub"]) as follower:
        def heard():
            submit(system, "knock.txt", f"Knock {uuid.uuid4()}")
            return follower.has_line(1)
        wait_for(heard, 20, "the subscription is heard")
        tasks = {submit(system, f"{i}.txt", f"Document {i}. {NOTE}") for i in range(200)}
        while tasks:
            task, event = follower.line(30).split()[:2]  # it ends when something is missing
            if event == "completed":
                tasks.discard(task)
        assert follower.process.poll() is None


def test_a_c_client_is_told_of_a_gap():
    publisher = zmq.Context.instance().socket(zmq.XPUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    try:
        with Spoken(BIN / "follow_all", "--pub", f"tcp://127.0.0.1:{port}") as follower:
            assert publisher.poll(20000) and publisher.recv() == b"\x01task.local."
            for seq in (7, 8, 11):
                event = {"seq": seq, "event": "progress", "at": "", "task": {"id": f"t{seq}", "progress": seq}}
                publisher.send_multipart([b"task.local.t", json.dumps(event).encode()])
            code, out, errors = follower.end()
        assert code == 1 and "2 events before number 11" in errors, errors
        assert [line.split()[0] for line in out.splitlines()] == ["t7", "t8"], out
    finally:
        publisher.close(0)


def test_the_demo_ends_with_exit_code_0():
    done = example(TREE / "examples" / "demo.sh", BIN)
    assert done.returncode == 0, done
    assert "ready http=" in done.stdout and done.stdout.count("  completed  ") >= 6, done.stdout
    assert done.stdout.count("\n? ") == 3 and "Stopping." in done.stdout, done.stdout
