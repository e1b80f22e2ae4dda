"""What is made of the events for people and for documents: the books of a day, the journey of a sale, dead letters.

Each is a consumer of its own; its state and the ids of the events in it are written in one transaction.
"""
