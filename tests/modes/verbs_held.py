"""What is copied in the stop, where some processes of a group have so much memory that their pages are held."""

import statistics

from scene import Failure, await_true, main, python

LARGE_PAGES, SMALL_PAGES = 2000, 400

# The parent, of 100 MB, writes more than 4 MiB every 50 ms; its child, too small to be guided, fewer pages, in a burst.
WRITERS = f"""
import mmap, os, time
def memory_of(pages):
    return mmap.mmap(-1, pages * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
def write(memory, pages, step):
    for page in range(pages):
        memory[page * 4096:page * 4096 + 8] = step.to_bytes(8, "little")
child = os.fork() == 0
if not child:
    large = memory_of(25_000)
    large[:] = b"l" * len(large)
pages = {SMALL_PAGES} if child else {LARGE_PAGES}
memory = memory_of(pages) if child else large
step = 0
while True:
    step += 1
    write(memory, pages, step)
    time.sleep(0.05)
"""


def case_held_group_copies_the_rest_before_the_stop(scene):
    """Pages of a process whose pages cannot be held are copied in a pass before the stop, not in it."""
    scene.perdure.run(*python(WRITERS), extra=["--every", "50ms", "--keep", "1000"])
    rows = []

    def held():
        rows[:] = [row for row in scene.perdure.json("log", scene.name, *scene.store()) if row["held_pages"]]
        return len(rows) >= 30
    await_true(held, "pages are held in 30 epochs")
    in_stop = statistics.median(row["stop_pages"] for row in rows[5:])
    if in_stop > SMALL_PAGES / 2:
        raise Failure(f"{in_stop} pages were copied in the stop, of {SMALL_PAGES} that cannot be held")


if __name__ == "__main__":
    main(globals())
