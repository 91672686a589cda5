"""python3 with threads, locks, a queue and generators, asked about its state through a socket."""

from app import await_true, check_equal, main

PROGRAM = r'''
import hashlib, queue, random, socket, sys, threading, time
lock, work, results = threading.Lock(), queue.Queue(50), {}
random.seed(4711)
chain = {"steps": 0, "digest": b"start"}
def producer():
    for number in range(10**9):
        work.put(number)
        time.sleep(0.0005)
def consumer():
    while True:
        number = work.get()
        with lock:
            results[number] = number * number
def hasher():
    while True:
        with lock:
            chain["digest"] = hashlib.sha256(chain["digest"]).digest()
            chain["steps"] += 1
        time.sleep(0.0001)
def fibonacci():
    a, b = 0, 1
    while True:
        yield a
        a, b = b, a + b
numbers = fibonacci()
for target in (producer, consumer, consumer, hasher):
    threading.Thread(target=target, daemon=True).start()
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    connection, _ = server.accept()
    question = connection.recv(100).decode().strip()
    if question == "next":
        answer = str(next(numbers))
    elif question == "random":
        answer = str(random.random())
    else:
        with lock:
            digest = b"start"
            for _ in range(chain["steps"]):
                digest = hashlib.sha256(digest).digest()
            wrong = [n for n, square in results.items() if square != n * n]
            missing = [n for n in range(max(results)) if n not in results] if results else []
            answer = f"{digest == chain['digest']} {len(wrong)} {len(missing) <= 4} {len(results)}"
    connection.sendall(answer.encode())
    connection.close()
'''


def drive(app):
    import random
    app.start("/usr/bin/python3", app.write("program.py", PROGRAM), app.path("socket"))
    fibonacci = [int(app.ask("socket", "next")) for _ in range(10)]
    check_equal(fibonacci, [0, 1, 1, 2, 3, 5, 8, 13, 21, 34], "the sequence")
    generator = random.Random(4711)
    check_equal(app.ask("socket", "random"), str(generator.random()), "the first random number")
    app.lose(after_save=lambda: (app.ask("socket", "next"), app.ask("socket", "random")))
    check_equal(app.ask("socket", "next"), "55", "the next number of the sequence")
    check_equal(app.ask("socket", "random"), str(generator.random()), "the second random number")

    def state_after(count):
        await_true(lambda: int(app.ask("socket", "state").split()[3]) > count, "the threads go on")
        return app.ask("socket", "state").split()

    first = state_after(20)
    check_equal(first[:3], ["True", "0", "True"], "the state of the threads")
    app.lose()
    check_equal(app.ask("socket", "next"), "89", "the next number of the sequence")
    second = state_after(int(first[3]))
    check_equal(second[:3], ["True", "0", "True"], "the state of the threads after the second loss")


main(drive, "python_threads")
