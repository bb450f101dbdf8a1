"""`chronicle events verify`: reads the whole log and names the first position that cannot be trusted, and why.

A running program may go on meanwhile, and none has to run. The log is read as its stored bytes, so one that the program
refuses to append to can be verified too.
"""

from time import perf_counter

from api.cli.output import EXIT_FAILED, JsonOption, Output, run
from infra.settings import Settings


def verify(*, json: JsonOption = False) -> None:
    """Check every event, every position and every index list; exit 1 at the first that is wrong, and name it."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_log_tools  # noqa: PLC0415 - other commands start faster without it

        started = perf_counter()
        async with open_log_tools(Settings.load()) as tools:
            with output.progress("verifying", None) as advance:
                verified = await tools.verify(lambda done, total: advance(done, f"of {total}"))
        problem = verified.problem
        result = {
            "whole": problem is None,
            "events": verified.events,
            "position": str(verified.position),
            "seconds": round(perf_counter() - started, 2),
        }
        if problem is None:
            output.line(f"{verified.events} events up to position {verified.position}: the log is whole")
        else:
            output.line(
                f"{verified.events} good events up to position {verified.position}; then: {problem.message}"
            )
            where = {"position": str(problem.position), "code": problem.code, "message": problem.message}
            result |= {"problem": where}
        output.record(result)
        return 0 if problem is None else EXIT_FAILED

    run(output, action)
