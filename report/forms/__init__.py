"""The forms of a report, one file each: `writing.py` holds the table."""
