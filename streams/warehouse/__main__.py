"""`python -m streams.warehouse`: run one warehouse worker."""

from streams.warehouse.role import WarehouseRole
from streams.worker import run

if __name__ == "__main__":
    run(WarehouseRole())
