"""What a process tells of itself: metrics, logs, traces, health. No personal data, no secret, in any of them."""
