"""Node.js: intervals tick in sequence without loss or doubling, promises and a server go on."""

from app import await_true, check, check_equal, main

PROGRAM = r'''
const net = require("net");
const ticks = [], started = process.hrtime.bigint();
let chained = 0;
setInterval(() => ticks.push(ticks.length + 1), 10);
(async () => { for (;;) { await new Promise(resolve => setTimeout(resolve, 7)); chained++; } })();
let alarm = "waiting";
setTimeout(() => { alarm = Number((process.hrtime.bigint() - started) / 1000000n); }, 2500);
const notes = new Map();
net.createServer(connection => connection.on("data", data => {
  const [verb, key, value] = data.toString().trim().split(" ");
  if (verb === "put") { notes.set(key, value); connection.end("ok"); }
  else if (verb === "get") connection.end(notes.get(key) || "none");
  else if (verb === "alarm") connection.end(String(alarm));
  else {
    const right = ticks.every((tick, index) => tick === index + 1);
    connection.end(`${right} ${ticks.length} ${chained}`);
  }
})).listen(process.argv[2]);
'''


def drive(app):
    app.start("/usr/bin/node", app.write("program.js", PROGRAM), app.path("socket"))
    check_equal(app.ask("socket", "put key value"), "ok", "the answer")
    seen = 0
    for _ in range(2):
        await_true(lambda: int(app.ask("socket", "ticks").split()[1]) >= seen + 20, "intervals go on to tick")
        app.lose(after_save=lambda: app.ask("socket", "put key lost"))
        right, count, _ = app.ask("socket", "ticks").split()
        check_equal(right, "true", "the order of ticks")
        check(int(count) >= seen + 20, "ticks were lost")
        seen = int(count)
        check_equal(app.ask("socket", "get key"), "value", "the note")
    answer = "waiting"
    while answer == "waiting":
        answer = app.ask("socket", "alarm")
    check(2480 <= int(answer) < 3800 or app.attached, f"the alarm of 2500 ms came after {answer} ms")


main(drive, "node_timers")
