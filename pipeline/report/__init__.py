"""The HTML report and the table in the terminal."""
