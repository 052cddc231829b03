"""The ends of a process, and its copies; with the mock of a broker that librdkafka carries."""

import os
import signal
import time

import pytest
from conftest import run

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
PRODUCER = """
    import os, signal, sys, threading, time
    from bt_events import EventProducer
    import bt_events.lifecycle
    producer = EventProducer("order", "a", linger_ms=5000, config={"test.mock.num.brokers": 1})

    def tell():
        print("delivered", producer.stats().delivered, flush=True)

"""

# Where the service has a handler of its own, SIGTERM waits a second: too short for a first connection on a busy day.
CONNECTED = """
    producer.send_log("info", "connected")
    producer.flush(10)
"""


def test_exit_is_bounded_and_reports_what_is_left():
    started = time.monotonic()
    output = run(
        """
        import logging; logging.basicConfig()
        from bt_events import EventProducer
        producer = EventProducer("order", "a", "127.0.0.1:1", exit_timeout=1)
        producer.send_log("info", "never arrives")
        """
    )
    assert time.monotonic() - started < 20
    assert "dropped 1 event(s): purge_queue" in output


def test_exit_flushes():
    output = run(
        PRODUCER
        + """
    import atexit
    atexit.unregister(bt_events.lifecycle._close_all)
    atexit.register(tell)
    atexit.register(bt_events.lifecycle._close_all)  # runs before
    producer.send_log("info", "x")
    """
    )
    assert "delivered 1" in output


def test_sigterm_flushes_and_still_kills():
    output = run(
        PRODUCER
        + """
    close = producer.close
    producer.close = lambda timeout: (close(timeout), tell())
    producer.send_log("info", "x")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    """,
        expect=-signal.SIGTERM,
    )
    assert "delivered 1" in output


def test_sigterm_is_bounded_when_kafka_is_away():
    started = time.monotonic()
    run(
        """
        import os, signal, time
        from bt_events import EventProducer
        producer = EventProducer("order", "a", "127.0.0.1:1", exit_timeout=0.5)
        producer.send_log("info", "x")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        """,
        expect=-signal.SIGTERM,
    )
    assert time.monotonic() - started < 15


def test_a_handler_that_was_there_is_called_and_decides():
    output = run(
        """
    import signal
    signal.signal(signal.SIGTERM, lambda number, frame: print("own handler", number, flush=True))
    """
        + PRODUCER
        + CONNECTED
        + """
    producer.send_log("info", "x")
    os.kill(os.getpid(), signal.SIGTERM)
    tell()
    producer.send_log("info", "still there")
    producer.flush(10)
    tell()
    """
    )
    assert output.split("\n")[:3] == ["own handler 15", "delivered 2", "delivered 3"]


def test_as_process_1_of_a_container_it_lives_on():
    """There the kernel ignores a signal without a handler."""
    output = run(
        PRODUCER
        + CONNECTED
        + """
    own = os.getpid()
    producer.send_log("info", "x")
    os.getpid = lambda: 1
    os.kill(own, signal.SIGTERM)
    tell()
    print(producer.send_log("info", "still there"), flush=True)
    """
    )
    assert output.split("\n")[:2] == ["delivered 2", "True"]


def test_sigterm_in_the_middle_of_a_call():
    """The handler runs wherever the main thread is, also inside a call with the counts' lock held."""
    output = run(
        PRODUCER
        + """
    producer.send_log("info", "x")
    with producer._counter._lock, producer._lock:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    """,
        expect=-signal.SIGTERM,
    )
    assert output == ""


def test_what_is_ignored_stays_ignored_and_threads_install_nothing():
    output = run(
        """
        import signal, threading
        import bt_events
        from bt_events import EventProducer
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        EventProducer("a", "b")
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        thread = threading.Thread(target=lambda: EventProducer("a", "b"))
        thread.start(); thread.join()
        EventProducer("a", "b", sigterm=False)
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        print(bt_events.flush_on_sigterm(), bt_events.flush_on_sigterm())
        first = signal.getsignal(signal.SIGTERM)
        EventProducer("a", "b")
        print(signal.getsignal(signal.SIGTERM) is first)
        """
    )
    assert output.split("\n")[:4] == ["True", "True", "True True", "True"]


@needs_fork
def test_a_forked_child_sends_with_a_client_of_its_own():
    output = run(
        """
        import os
        from bt_events import EventProducer
        producer = EventProducer("order", "a", config={"test.mock.num.brokers": 1})
        producer.send_log("info", "parent"); assert producer.flush(10)
        child = os.fork()
        if child == 0:
            producer.send_log("info", "child")
            print("child flushed", producer.flush(10), producer.stats().delivered, flush=True)
            raise SystemExit(0)
        assert os.waitpid(child, 0)[1] == 0
        producer.send_log("info", "parent")
        print("parent flushed", producer.flush(10), producer.stats().delivered)
        """
    )
    assert "child flushed True 1" in output
    assert "parent flushed True 2" in output


@needs_fork
def test_what_waited_at_the_fork_is_the_parents():
    output = run(
        PRODUCER
        + """
    for n in range(100): producer.send_log("info", "before the fork")
    child = os.fork()
    if child == 0:
        assert producer.stats().sent == 0
        producer.send_log("info", "child")
        producer.flush(10)
        print("child", producer.stats().delivered, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    producer.flush(10)
    print("parent", producer.stats().delivered)
    """
    )
    assert "child 1\n" in output
    assert "parent 100\n" in output


@needs_fork
def test_forks_while_other_threads_send():
    """A lock that another thread held at the fork must not stop the child for ever."""
    output = run(
        PRODUCER
        + """
    import warnings; warnings.simplefilter("ignore")
    stop = False
    def send():
        while not stop:
            producer.send_metric("a_total")
    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads: thread.start()
    for _ in range(8):
        child = os.fork()
        if child == 0:
            ok = producer.send_log("info", "child") and producer.flush(10) and producer.stats().delivered == 1
            os._exit(0 if ok else 1)
        print(os.waitpid(child, 0)[1])
    stop = True
    for thread in threads: thread.join()
    producer.close(0)
    os._exit(0)
    """
    )
    # The queue fills up meanwhile, which is told on standard error.
    assert [line for line in output.splitlines() if not line.startswith("dropped ")] == ["0"] * 8


@needs_fork
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_flush_at_their_end(method, tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        f"""
import multiprocessing, os
from bt_events import EventProducer
import bt_events.lifecycle

class Tells(EventProducer):
    def close(self, timeout=10):
        done = super().close(timeout)
        os.write(1, b"%s delivered %d\\n" % (where.encode(), self.stats().delivered))
        return done

where = "parent"
producer = Tells("order", "a", linger_ms=5000, config={{"test.mock.num.brokers": 1}})

def work():
    global where
    where = "child"
    producer.send_log("info", "x")

if __name__ == "__main__":
    child = multiprocessing.get_context("{method}").Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0
"""
    )
    output = run(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')")
    assert "child delivered 1" in output
