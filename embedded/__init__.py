"""How does ML Guard run without Docker? Apache Kafka and TimescaleDB as local processes, started and watched."""
