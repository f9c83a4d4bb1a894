"""The cleaner: scraped records in, clean and unique ones out, and a reason for each that isn't."""
