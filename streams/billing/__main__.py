"""`python -m streams.billing`: run one billing worker."""

from streams.billing.role import BillingRole
from streams.worker import run

if __name__ == "__main__":
    run(BillingRole())
