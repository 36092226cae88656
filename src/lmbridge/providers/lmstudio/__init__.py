"""LM Studio: the program on this computer, and its models.

`program` is what one starts and stops, with `look` and `inquiry` to see what is there, `status` for the words,
`switching` for starting and stopping, `kept` for what is remembered.
"""
