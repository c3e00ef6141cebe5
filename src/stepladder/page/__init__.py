"""The report for people: Markdown for a README, and one HTML file that needs nothing else."""
