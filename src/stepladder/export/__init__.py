"""A recorded run taken out of Stepladder: its network as a program for inference, and what other systems make of that."""
