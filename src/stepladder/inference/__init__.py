"""A network as a program for inference, and what its shapes tell of that: steps, memory, figures."""
