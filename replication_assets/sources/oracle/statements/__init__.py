"""Every statement that is sent to an Oracle database, and those that its owner is told to run.

Values are bound, names are quoted by `names.quoted`, and nothing else goes into a text. Tests parse each
of them with a parser of Oracle's dialect, and answer them by their exact text.
"""
