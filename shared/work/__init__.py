"""How work is done here: clocks, back-off, keyed queues and supervised tasks."""
