"""What a title is like, told by a language model and checked by something that isn't one."""
