"""A recorded run taken out of Stepladder: what other systems make of its program for inference (stepladder.inference)."""
