"""What a run came to: the HTML report and the short table in the terminal."""

from pipeline.report.page import write_report
from pipeline.report.table import print_summary, summary_table

__all__ = ["print_summary", "summary_table", "write_report"]
