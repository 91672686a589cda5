"""python3 with asyncio: tasks, timers, a server, and a child process that answers through pipes."""

from app import await_true, check, check_equal, main

PROGRAM = r'''
import asyncio, sys, time
ticks, late = [], [0.0]
async def ticker(period):
    number = 0
    while True:
        before = time.monotonic()
        await asyncio.sleep(period)
        late[0] = max(late[0], time.monotonic() - before - period)
        number += 1
        ticks.append((period, number))
async def main():
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", "while read line; do echo \"<$line>\"; done",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    tasks = [asyncio.create_task(ticker(period)) for period in (0.01, 0.05, 0.2)]
    async def answer(reader, writer):
        question = (await reader.readline()).decode().strip()
        if question == "ticks":
            orders = {p: [n for q, n in ticks if q == p] for p in (0.01, 0.05, 0.2)}
            right = all(numbers == list(range(1, len(numbers) + 1)) for numbers in orders.values())
            writer.write(f"{right} {len(ticks)} {late[0]:.3f}".encode())
        else:
            child.stdin.write(question.encode() + b"\n")
            writer.write(await child.stdout.readline())
        await writer.drain()
        writer.close()
    async with await asyncio.start_unix_server(answer, sys.argv[1]) as server:
        await server.serve_forever()
asyncio.run(main())
'''


def drive(app):
    app.start("/usr/bin/python3", app.write("program.py", PROGRAM), app.path("socket"))
    check_equal(app.ask("socket", "hello"), "<hello>", "the child's answer")
    seen = 0
    for round_number in range(3):
        await_true(lambda: int(app.ask("socket", "ticks").split()[1]) >= seen + 30, "tasks go on to tick")
        app.lose()
        right, count, late = app.ask("socket", "ticks").split()
        check_equal(right, "True", f"the order of ticks in round {round_number}")
        check(int(count) >= seen + 30, f"only {count} ticks are left")
        # Clocks continue where they were: a sleep that was under way is not late by the time that nothing ran.
        check(float(late) < 1.5 or app.attached, f"a tick was {late} s late")
        seen = int(count)
        check_equal(app.ask("socket", f"round {round_number}"), f"<round {round_number}>", "the child's answer")


main(drive, "python_asyncio")
