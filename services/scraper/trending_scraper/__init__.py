"""Fetches the pages of film sites politely and takes titles and reviews from them."""
