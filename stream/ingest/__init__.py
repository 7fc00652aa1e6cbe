"""How do events come out of Kafka and into the state of days, each exactly once?"""
