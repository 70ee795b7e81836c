"""What a result is judged by, one small file a metric; `registry` builds them by name."""
