"""What `outlive.testing.strategies` draws, a module for each kind of thing."""
