"""One run in full: what it did, what each part of it cost, and where every event of it stands on Kafka."""
