"""Workers on the other side of a network that loses packets, and all of them for a while.

The network is a pair of TUN devices, one of them in a network namespace of its own, with a thread between them that
rolls dice for every packet: that needs no module of the kernel but that one.
"""
import collections
import contextlib
import ctypes
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import threading

from harness import BIN, TASKS, Skip, wait_for
from storm import journalled, workers
from test_stops import stale

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
CLONE_NEWNET = 0x40000000
PORT = 7001
STAGES = ("extract", "chunk", "embed")
libc = ctypes.CDLL(None, use_errno=True)


def open_tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def ip(*words, inside=None):
    enter = ["nsenter", "--net", f"--target={inside}"] if inside else []
    subprocess.run([*enter, "ip", *words], check=True, capture_output=True)


class Network:
    """Two addresses, `here` and `there`, and what is lost between them."""

    def __init__(self):
        number = os.getpid() % 16384  # of 198.18.0.0/15, which is for tests of networks
        base = f"198.{18 + (number >> 13)}.{(number >> 5) & 255}.{(number & 31) * 8}"
        prefix, last = base.rsplit(".", 1)
        self.here, self.there = f"{prefix}.{int(last) + 1}", f"{prefix}.{int(last) + 2}"
        self.loss, self.cut = 0.0, False
        self.passed = self.lost = 0
        self.dice, self.stopping = random.Random(1), threading.Event()
        self.name = f"myl{number}"
        # The namespace lives as long as this process.
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "3600"], stderr=subprocess.DEVNULL)
        try:
            self.near = open_tun(self.name)
            wait_for(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != os.readlink("/proc/self/ns/net")
                     or self.holder.poll() is not None, 5, "the namespace is there")
            self.far = self.open_there()
            ip("address", "add", self.here, "peer", self.there, "dev", self.name)
            ip("link", "set", self.name, "up")
            ip("address", "add", self.there, "peer", self.here, "dev", self.name, inside=self.holder.pid)
            ip("link", "set", self.name, "up", inside=self.holder.pid)
        except (OSError, subprocess.CalledProcessError, AssertionError) as error:
            self.holder.kill()
            self.holder.wait()
            raise Skip(f"needs the right to make network namespaces and TUN devices: {error}") from None
        self.thread = threading.Thread(target=self.relay, daemon=True)
        self.thread.start()

    def open_there(self):
        """A TUN device of the other namespace. Only a thread can go there and come back alone: one that ends."""
        result = []

        def go():
            with open(f"/proc/{self.holder.pid}/ns/net") as place:
                if libc.setns(place.fileno(), CLONE_NEWNET) == 0:
                    with contextlib.suppress(OSError):
                        result.append(open_tun(self.name))
        thread = threading.Thread(target=go)
        thread.start()
        thread.join()
        if not result:
            raise OSError("cannot make a device in another namespace")
        return result[0]

    def relay(self):
        others = {self.near: self.far, self.far: self.near}
        while not self.stopping.is_set():
            for fd in select.select(list(others), [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    packet = os.read(fd, 65536)
                    if self.cut or self.dice.random() < self.loss:
                        self.lost += 1
                    else:
                        os.write(others[fd], packet)
                        self.passed += 1

    def command(self, *words):
        """What runs a command on the other side."""
        return ["nsenter", "--net", f"--target={self.holder.pid}", *map(str, words)]

    def close(self):
        self.stopping.set()
        self.thread.join()
        os.close(self.near)
        os.close(self.far)
        self.holder.kill()
        self.holder.wait()


class Bridge:
    """The broker's intake at a TCP address: the same bytes on both sides, for ZeroMQ speaks alike on either."""

    def __init__(self, address, path):
        self.path, self.open = path, []
        self.listener = socket.create_server(address)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with contextlib.suppress(OSError):
            while True:
                far, _ = self.listener.accept()
                near = socket.socket(socket.AF_UNIX)
                near.connect(str(self.path))
                self.open += [far, near]
                for pair in ((far, near), (near, far)):
                    threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for end in (self.listener, *self.open):
            end.close()


@contextlib.contextmanager
def far_workers(seed):
    """(system, client, network, far): a system, and for each stage a worker more that sends its results over the
    network (what it is given comes by a path that is not cut)."""
    network, far = Network(), {}
    try:
        with journalled(seed, workers="extract=1,chunk=1,embed=1") as (system, client, _):
            run = system.data / "run"
            bridge = Bridge((network.here, PORT), run / "intake")
            for stage in STAGES:
                with open(system.log_path, "ab") as log:
                    far[stage] = subprocess.Popen(network.command(
                        BIN / f"myelin-{stage}", "--intake", f"tcp://{network.here}:{PORT}", "--run", run),
                        stdout=subprocess.DEVNULL, stderr=log)
            wait_for(lambda: all(workers(client)[stage] == 2 for stage in STAGES), 20, "those far away are known")
            yield system, client, network, far
            network.loss, network.cut = 0.0, False
            for process in far.values():
                process.terminate()
            for stage, process in far.items():
                assert process.wait(30) == 0, stage
            bridge.close()
    finally:
        for process in far.values():
            process.kill()
        network.close()


def done_far_away(system, client, far, tasks):
    """How many jobs of the tasks each stage's far worker did."""
    names = {}
    for event in system.events():
        if event.get("event") == "worker_joined":
            words = event["message"].split()
            names[int(words[-1])] = words[1]
    mine = {names[process.pid]: stage for stage, process in far.items()}
    counts = collections.Counter()
    for task in tasks:
        for event in client.system.rest.pages(f"{TASKS}{task}/events"):
            if event["event"] == "done" and event.get("worker") in mine:
                counts[mine[event["worker"]]] += 1
    return counts


def test_a_network_that_loses_packets_loses_no_work():
    with far_workers(1) as (system, client, network, far):
        network.loss = 0.1
        tasks = []
        def each_did_some():
            tasks.append(client.submit("page"))
            return len(tasks) >= 30 and all(done_far_away(system, client, far, tasks)[stage] for stage in STAGES)
        wait_for(each_did_some, 60, "the far workers take part")
        for task in tasks:
            assert client.wait(task)["status"] == "completed"
        assert network.lost > 5, "nothing was lost, so nothing was tested"
        print(f"    {network.lost} packets lost, {network.passed} passed; done far away: "
              f"{dict(done_far_away(system, client, far, tasks))}")


def test_workers_behind_a_cut_network_are_replaced_and_their_late_results_refused():
    with far_workers(2) as (system, client, network, far):
        before = stale(client)
        network.cut = True
        tasks = [client.submit("page") for _ in range(20)]
        for task in tasks:  # those far away were given some, and what they make of it does not arrive
            assert client.wait(task)["status"] == "completed"
        assert not done_far_away(system, client, far, tasks)
        wait_for(lambda: all(workers(client)[stage] == 1 for stage in STAGES), 20, "those far away are given up")
        assert stale(client) == before
        network.cut = False
        late = wait_for(lambda: stale(client) - before, 60, "what comes late is refused")
        wait_for(lambda: all(workers(client)[stage] == 2 for stage in STAGES), 60, "those far away are known again")
        for task in [client.submit("page") for _ in range(10)]:
            assert client.wait(task)["status"] == "completed"
        print(f"    {network.lost} packets lost; {late} late results were refused")
