"""A program as C99: one header and one source, without malloc or a library, in float32 or in integers of 8 bits."""
