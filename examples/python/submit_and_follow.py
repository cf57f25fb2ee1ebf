#!/usr/bin/python3
"""Hands documents in over ZeroMQ REQ and follows each on the PUB feed until it ended. Needs pyzmq only.

    submit_and_follow.py [--req ENDPOINT] [--pub ENDPOINT] FILE…

Prints a line for each event. Exit code 0 when all completed.
"""
import argparse
import json
import pathlib
import sys
import time
import urllib.parse

import zmq

FINAL = ("completed", "failed", "cancelled")
SILENCE_SECONDS = 0.5


def ask(req, method, path, content=None, **more):
    """One request, one reply; the reply's body."""
    request = {"method": method, "path": "/api/v1/" + path, **more}
    req.send_multipart([json.dumps(request).encode()] + ([content] if content is not None else []))
    reply = json.loads(req.recv_multipart()[0])
    if reply["status"] >= 400:
        sys.exit(f"{method} {path}: {reply['body']['detail']}")
    return reply["body"]


def show(task):
    print(f"{task['id']}  {task['progress']:3}%  {task['status']:10} {task['stage'] or ''}", flush=True)


def follow(req, sub, task):
    """Prints what happens to the task until it ended; gives its last state.

    A subscription is not acknowledged: what happens until it reached the publisher is not heard. So the task is asked
    for whenever the feed is silent about it, whatever it says about others.
    """
    show(task)
    ask_at = time.monotonic() + SILENCE_SECONDS
    while task["status"] not in FINAL:
        if time.monotonic() >= ask_at:
            task = ask(req, "GET", f"document-processing/tasks/{task['id']}")
        elif sub.poll(max(1, (ask_at - time.monotonic()) * 1000)):
            event = json.loads(sub.recv_multipart()[1])
            # What waited in the socket may be older than what is known.
            if event["task"]["id"] != task["id"] or event["task"]["progress"] < task["progress"]:
                continue
            task = event["task"]
        else:
            continue
        ask_at = time.monotonic() + SILENCE_SECONDS
        show(task)
    return task


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--req", default="tcp://127.0.0.1:8751")
    parser.add_argument("--pub", default="tcp://127.0.0.1:8752")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()

    context = zmq.Context()
    req = context.socket(zmq.REQ)
    req.setsockopt(zmq.RCVTIMEO, 30000)
    req.connect(arguments.req)
    sub = context.socket(zmq.SUB)
    sub.subscribe("task.")
    sub.connect(arguments.pub)

    completed = True
    for path in arguments.files:
        headers = {"X-Filename": urllib.parse.quote(path.name)}
        task = ask(req, "POST", "documents/", path.read_bytes(), headers=headers)["task"]
        task = follow(req, sub, task)
        if task["status"] != "completed":
            print(f"{path}: {task['error_code']}: {task['error_message']}", file=sys.stderr)
            completed = False
    context.destroy(linger=0)
    return 0 if completed else 1


if __name__ == "__main__":
    sys.exit(main())
