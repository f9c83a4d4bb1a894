"""How good the records are: `trending quality report`, and the data cards.

`material` reads, `measuring` and `drift` count, `judging` says what is too much, `page` shows;
`report` is what passes between them. Only `material` and `commands` reach the outside.
"""
