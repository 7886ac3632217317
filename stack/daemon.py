"""`python -m stack.daemon DATA_DIR`: the supervisor of a detached stack."""

import asyncio
import sys
from pathlib import Path

from kit import logs
from stack.supervisor import supervise

if __name__ == "__main__":
    logs.configure("supervisor")
    sys.exit(asyncio.run(supervise(Path(sys.argv[1]))))
