"""The write-ahead queue: what is logged goes to a local journal and returns; a thread brings it to MLflow.

entry     one thing that was accepted, a line of JSON in a journal
journal   the entries of one process for one store, in ``.mlops/queue/``; it belongs to that process until it dies
segment   one file of a journal; a journal goes on in the next when one is large
backlog   the entries that MLflow does not have yet
local id  what a run is called that was begun while the store was away, until the store has given it an id
spool     what is too large for a journal, files and models, in ``queue/files/`` until the store has it
refused   an entry that the store will never take; kept in ``queue/rejected/`` and in nobody's way

How it works. An entry is one ``write`` to a file opened for appending: when the call returns, the operating system has
it, and no signal can take it away. Whoever holds a journal's delivery lock reads on from where the journal's offset
says, merges what it finds into batches of at most a thousand, sends them, and notes the new offset. The offset is noted
after MLflow has answered, so that a crash between the two sends a batch again. A metric's point is the same point to
MLflow when run, name, time, step and value are equal, so that one that is sent again is not doubled, and two points of
one process never are equal; the same param again is no error. A model carries a tag by which it is found again, and
goes on where it was broken off. A tag, and the end of a run, that are sent again take the place of what others may have
written in the moment between. A process that dies leaves its journal to whoever opens the workspace next; a lock held
for life tells the living from the dead. Runs that a dead process had open end as KILLED.
"""
