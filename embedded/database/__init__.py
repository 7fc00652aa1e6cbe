"""How is TimescaleDB run as one local process?"""
