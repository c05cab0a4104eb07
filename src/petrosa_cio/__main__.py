"""`python -m petrosa_cio`: the same as the command `petrosa-cio`."""

import signal
import sys

if sys.argv[1:2] == ["projector"]:
    # It carries what is left before it ends, however early it is asked: before all it imports is there, too. A mask
    # that its supervisor set would not last: uvloop resets it in the child.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

from petrosa_cio.cli import main

if __name__ == "__main__":
    main()
