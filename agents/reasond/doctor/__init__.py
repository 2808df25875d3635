"""What `reasond doctor` looks at: one small check a fact, each told as ok, warning, fail or skipped.

`findings` runs checks, `examined` says what they look at, the other modules hold the checks by dependency.
"""
