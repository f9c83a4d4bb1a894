"""Erasing an author's reviews or a page with all that came of it, and proving that nothing is left.

`collecting` finds what belongs to it, `erasing` has it erased by those who own it, `purging` clears
the topics. The verifier shares nothing with these: `needles` says what is looked for, `scanning`
reads every byte of every store; neither knows what a table or an event is.
"""
