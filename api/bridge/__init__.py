"""How do events of a request come into Kafka, with an answer only after the broker's?"""
