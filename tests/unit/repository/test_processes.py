import signal
import subprocess

from tests.support.processes import heed_interrupts


def test_an_interrupt_reaches_what_the_tests_start_in_the_background_too() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        heed_interrupts()
        with subprocess.Popen(["/bin/sleep", "20"]) as child:
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)
