"""The climb: moves of one concept each, from a step to what might come after it."""
