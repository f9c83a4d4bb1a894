"""A small film site of our own, which the scraper visits over real HTTP.

It stands for a foreign site, so it knows no other package of the project.
"""
