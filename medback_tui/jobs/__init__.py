"""What the app does to data: jobs, their queue, and what is said when they end."""
