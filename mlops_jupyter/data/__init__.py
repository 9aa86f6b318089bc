"""Data: its versions, and how they differ.

data         a frame, an array, a table or a file that a run has read and noted, by a name
version      data as one run has it: the name, and the digest over all of its content
profile      what a person compares of a version: rows, and of each column gaps, values, ends and spread
schema       names, types and order of the columns
difference   what two versions do not have in common; it is the same both ways, with a and b exchanged
"""
