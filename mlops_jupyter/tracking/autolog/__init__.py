"""Autologging that stays in its lane, and the machine's metrics of a run.

lane      a run that autologs, for as long as it is open
flow      what MLflow keeps once for a process while it autologs, kept for one thread of a lane
stand-in  what is put in the place of MLflow's process-wide state, and answers for the thread that asks

MLflow's autologging patches the classes of other libraries, for the whole process, and keeps what it is doing in
variables of the process: two fits at once look like one inside the other, and the second is not logged; a fit in any
thread is logged in whatever run is active there, or in one that MLflow makes up. Its patches are left to it here. What
they look up when they are called is replaced: the library's configuration says "disabled" in threads that belong to no
lane, and the state of fits, sessions and scores is the thread's own.

What a thread trains belongs to the innermost run of ours that is open in it; where it has opened none, to the run that
was innermost in the thread which started it, or gave the task to its pool, when it did. After the end of that run it is
logged nowhere, and a warning says so once. Runs that plain MLflow opens inside a lane are part of it: MLflow logs in
them as ever. The workers of a fit are inside the fit; what they fit is not logged by itself. A library that a user has
switched on is left as it is, with its options, and off lanes it does what it always did. Nothing is in place before a
run asks for autologging, and everything is taken away when the last one has ended and nothing goes on that it started.
"""

from __future__ import annotations

from mlops_jupyter.tracking.active import ActiveRun
from mlops_jupyter.tracking.autolog import lanes, system_metrics
from mlops_jupyter.tracking.autolog.switch import switch


def begin(run: ActiveRun) -> None:
    """Let MLflow log what is trained for a run, in the thread that has opened it and in those that it starts.

    Args:
        run: The run; it is the innermost of this thread.
    """
    try:
        lanes.open_lane(run)
        switch.on()
    except BaseException:
        lanes.close_lane(run.run_id)
        switch.off()
        raise


def watch(run: ActiveRun) -> None:
    """Measure the machine until a run ends: processor, memory, disk, network, and GPU where there is one.

    Args:
        run: The run.
    """
    system_metrics.watch(run)


def end(run_id: str) -> None:
    """End what goes with a run: its autologging and its system metrics. Nothing when it has none, or it has ended.

    Args:
        run_id: The run, which is still open in its store.
    """
    try:
        if lanes.close_lane(run_id):
            switch.off()
    finally:
        system_metrics.unwatch(run_id)
