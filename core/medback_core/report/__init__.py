"""The report: one HTML file that tells what is safe, where everything lies, and how all of it comes back."""
