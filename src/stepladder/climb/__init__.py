"""The ladder that builds itself: moves, sequential tests, and decisions as a function of records. It sees kept-back images only."""
