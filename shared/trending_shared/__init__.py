"""What two or more services of Trending Now need: contracts, delivery, storage, probes."""
