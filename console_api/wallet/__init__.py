"""An org's credits as they stand now: balance, holds, buckets and what time will change."""
