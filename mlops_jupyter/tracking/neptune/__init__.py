"""Neptune: runs that `neptune-exporter` has written to disk, brought into MLflow.

export     a folder with ``data/`` and ``files/``, as neptune-exporter leaves it; ``data/`` alone does too
project    a folder of ``data/``; its runs go to the experiment of that name
part       a Parquet file of a run, ``RUN_part_N.parquet``; a run without part 0 was not exported to its end
attribute  what Neptune calls a param, a series, a file: a path, a type and a value, or a row a point
survey     the first pass over a run: nothing is written before all of it could be read
mark       a digest of a run's parts, which tells the export that a run came from
key        a digest of project and run; the tag that a run is found by when it is imported again

How it works. A run is read twice, batch by batch. The survey finds out what is in it, and refuses what is damaged or
names files outside of the export. Then it is begun in MLflow under its key, written, ended with its own times and
status, and at last tagged as imported. What is killed in between is found by its key the next time and goes on: each
batch of points carries along how many are there, and all else may be written twice without harm. Where the export has
changed since, the half is deleted and the run is begun anew.

Steps of MLflow are whole numbers, Neptune's have up to six decimals. A series whose steps are whole keeps them; one
with other steps counts in millionths, in every run alike, unless ``--step-multiplier`` names one factor for all series.

Nothing here imports pyarrow, numpy or MLflow before it is used.
"""
