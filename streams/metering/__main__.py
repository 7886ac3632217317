"""`python -m streams.metering`: run one metering worker."""

from streams.metering.role import MeteringRole
from streams.worker import run

if __name__ == "__main__":
    run(MeteringRole())
