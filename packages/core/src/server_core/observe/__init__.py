"""What a running server says of itself: metrics, health, and the listener that serves them."""
