"""Where one request spends its time, as a page to look at."""

from collections.abc import Awaitable

from fastapi.responses import HTMLResponse
from pyinstrument import Profiler

_INTERVAL_S = 0.0005


async def profile(work: Awaitable[object]) -> HTMLResponse:
    """Do the work and return its profile: names of functions and times, no values."""
    profiler = Profiler(interval=_INTERVAL_S, async_mode="enabled")
    with profiler:
        await work
    return HTMLResponse(profiler.output_html())
