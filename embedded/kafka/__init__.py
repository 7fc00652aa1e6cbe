"""How is Apache Kafka run as one local broker?"""
