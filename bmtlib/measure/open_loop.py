"""A load generator with an open loop: requests begin at instants fixed beforehand, whatever became of the earlier ones.

Run as a script of its own on a client host, where there is only Python (3.6 or newer): it imports nothing of bmtlib.

    python3 open_loop.py URL RATE INDEX OF COUNT SIZE CONNECTIONS TIMEOUT_S ROWS

It is client INDEX (from 0) of OF clients that make RATE requests/s together: request i is due (INDEX + i * OF) / RATE
seconds after the start, COUNT in all. Each is a connection of its own, ended by the server; the request is ab's.
SIZE: bytes that an answer must have. When CONNECTIONS are open the next request waits for one to end, and its wait goes
on from the instant when it was due; what has not begun a quarter of a second after the schedule is counted as not sent.

Standard output: a line when it is ready, flushed just before the first request, and a line of JSON at the end. The
file ROWS ("-": none) has a line per request, in the order of the schedule: due_us after the start, late_us by how much
it began later, answer_us from its begin to its end, and its outcome. Times that were not measured are empty.
"""

import array
import collections
import errno
import gc
import json
import select
import socket
import sys
import time

OK, STATUS, LENGTH, CONNECT, RESET, TIMEOUT, LOCAL, BUSY = range(8)
# status: another one than 200. length: another length, or no HTTP answer at all. connect: refused or unreachable.
# Not sent: "local", for this host had no descriptor or port left; "busy", no connection became free in time.
OUTCOMES = ("ok", "status", "length", "connect", "reset", "timeout", "local", "busy")
_GRACE_S = 0.25  # behind the schedule: a client that stood still for a moment may yet send what was due
_AT_ONCE = 64  # requests begun before answers are looked at again
_HEADER_MOST = 65536


def run(
    address: tuple, request: bytes, schedule_s: array.array, stop_s: float, size: int, most: int, timeout_s: float
) -> tuple:
    """(start on the wall clock, begin and end of each request on the schedule's clock, their outcomes).

    `schedule_s`: when each is due, from the start; `stop_s`: when no more is begun. A begin or end is negative where
    there is none.
    """
    count = len(schedule_s)
    began = array.array("d", [-1.0]) * count
    ended = array.array("d", [-1.0]) * count
    outcomes = bytearray([BUSY]) * count
    poller = select.epoll()
    register, poll, watched = poller.register, poller.poll, [poller.fileno()]
    edges = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
    wakes = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLERR | select.EPOLLHUP
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    family, target = address
    buffer = memoryview(bytearray(1 << 18))
    room = len(buffer)
    # By descriptor: [socket, number of the request, whether it was sent, header so far or None, bytes of the body]
    flights: dict = {}
    deadlines: collections.deque = collections.deque()  # (number, descriptor) in the order in which they began
    clock = time.monotonic
    nxt = 0

    def finish(fd: int, flight: list, outcome: int) -> None:
        number = flight[1]
        ended[number] = clock() - start
        outcomes[number] = outcome
        del flights[fd]
        flight[0].close()

    def read(fd: int, flight: list, to_the_end: int) -> None:
        while True:
            try:
                got = flight[0].recv_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                finish(fd, flight, RESET)
                return
            if not got:
                finish(fd, flight, verdict(flight, size))
                return
            if flight[3] is None:
                flight[4] += got
            else:
                head = flight[3] + bytes(buffer[:got])
                place = head.find(b"\r\n\r\n")
                if place >= 0:
                    flight[2] = head[:12]
                    flight[3] = None
                    flight[4] = len(head) - place - 4
                elif len(head) > _HEADER_MOST:
                    finish(fd, flight, LENGTH)
                    return
                else:
                    flight[3] = head
            # A short read has emptied the socket; that the server has closed it comes as an event of its own.
            if got < room and not to_the_end:
                return

    started_epoch_ns = int(time.time() * 1e9)
    start = clock()
    while nxt < count or flights:
        now = clock() - start
        if now >= stop_s:
            count = nxt  # the rest was not sent
        stop = min(count, nxt + _AT_ONCE)
        while nxt < stop and len(flights) < most and schedule_s[nxt] <= now:
            try:
                sock = socket.socket(family, kind)
            except OSError:
                outcomes[nxt] = LOCAL
                nxt += 1
                continue
            now = clock() - start
            failed = sock.connect_ex(target)
            if failed and failed != errno.EINPROGRESS:
                sock.close()
                if failed in (errno.EADDRNOTAVAIL, errno.EAGAIN):
                    outcomes[nxt] = LOCAL
                else:
                    began[nxt], ended[nxt], outcomes[nxt] = now, clock() - start, CONNECT
                nxt += 1
                continue
            fd = sock.fileno()
            register(fd, edges)
            began[nxt] = now
            flights[fd] = [sock, nxt, b"", b"", 0]
            deadlines.append((nxt, fd))
            nxt += 1
        while deadlines:
            number, fd = deadlines[0]
            flight = flights.get(fd)
            if flight is None or flight[1] != number:
                deadlines.popleft()
            elif began[number] + timeout_s <= now:
                deadlines.popleft()
                finish(fd, flight, TIMEOUT)
            else:
                break
        # How long nothing is to be done but to take answers.
        until = began[deadlines[0][0]] + timeout_s if deadlines else stop_s
        if nxt < count:
            until = min(until, stop_s if len(flights) >= most else schedule_s[nxt])
        if until > now:
            # Not epoll's own time limit, which has whole milliseconds.
            select.select(watched, (), (), until - now)
        for fd, event in poll(0, 512):
            flight = flights.get(fd)
            if flight is None:
                continue
            if not flight[2]:
                try:
                    flight[0].send(request)
                except BlockingIOError:
                    continue
                except OSError:
                    finish(fd, flight, CONNECT)
                    continue
                flight[2] = b"sent"
            if event & wakes:
                read(fd, flight, event & select.EPOLLRDHUP)
    poller.close()
    return started_epoch_ns, began, ended, outcomes


def verdict(flight: list, size: int) -> int:
    """The outcome of an answer that has ended."""
    if flight[3] is not None:
        return LENGTH
    if flight[2][:7] != b"HTTP/1." or flight[2][9:12] != b"200":
        return STATUS
    return OK if flight[4] == size else LENGTH


def percentile(ordered: list, percent: int) -> "int | None":
    """The smallest of the ascending values that so many per cent of them do not exceed; None of none."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def rows(schedule_s: array.array, began: array.array, ended: array.array, outcomes: bytearray) -> list:
    """(due_us, late_us, answer_us, outcome) of each request; late_us and answer_us None where there are none."""
    found = []
    for i, due in enumerate(schedule_s):
        late = answer = None
        if began[i] >= 0:
            late = max(0, round((began[i] - due) * 1e6))
            answer = max(0, round((ended[i] - began[i]) * 1e6))
        found.append((round(due * 1e6), late, answer, OUTCOMES[outcomes[i]]))
    return found


def report(started_epoch_ns: int, found: list, rate: int, end_s: float) -> dict:
    """What the last line says."""
    late = sorted(row[1] for row in found if row[1] is not None)
    counts = collections.Counter(row[3] for row in found)
    last = max([due + late + answer for due, late, answer, outcome in found if outcome == "ok"] or [0])
    return {
        "start_epoch_ns": started_epoch_ns,
        "rate_per_s": rate,
        "planned": len(found),
        "sent": len(late),
        "outcomes": {outcome: counts[outcome] for outcome in OUTCOMES},
        "schedule_us": round(end_s * 1e6),
        "last_answer_us": last,
        "late_p50_us": percentile(late, 50),
        "late_p99_us": percentile(late, 99),
        "late_max_us": percentile(late, 100),
        "cpu_us": round(time.process_time() * 1e6),
    }


def main(url: str, *words: str) -> None:
    rate, index, of, count, size, most = map(int, words[:6])
    timeout_s, rows_file = float(words[6]), words[7]
    host, _, path = url.split("://", 1)[1].partition("/")
    name, _, port = host.partition(":")
    family, _, _, _, target = socket.getaddrinfo(name, int(port or 80), type=socket.SOCK_STREAM)[0]
    text = f"GET /{path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: bmt-open-loop\r\nAccept: */*\r\n\r\n"
    schedule_s = array.array("d", ((index + i * of) / rate for i in range(count)))
    end_s = (index + count * of) / rate
    gc.disable()  # nothing here is circular, and a collection would stand still
    print(f"ready: {count} requests, {rate} requests/s by {of} clients", flush=True)
    started, began, ended, outcomes = run(
        (family, target), text.encode(), schedule_s, end_s + _GRACE_S, size, most, timeout_s
    )
    found = rows(schedule_s, began, ended, outcomes)
    if rows_file != "-":
        with open(rows_file, "w") as stream:
            stream.write("due_us\tlate_us\tanswer_us\toutcome\n")
            stream.writelines(
                "{}\t{}\t{}\t{}\n".format(due, "" if late is None else late, "" if answer is None else answer, outcome)
                for due, late, answer, outcome in found
            )
    print(json.dumps(report(started, found, rate, end_s)))


if __name__ == "__main__":
    main(*sys.argv[1:])
