"""Knowledge sources of instances: what is asked for, how far it is, and what an instance knows.

Owns: who may add, sync and delete sources, and how many. Does not own: how bytes become chunks (the ingestion
worker hears of requests on Kafka, and answers there), nor how hits are ranked (`kit.vectors`).
"""
