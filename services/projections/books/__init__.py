"""The books: every sale and refund entered once, days closed on the business clock, later ones as further revisions."""
