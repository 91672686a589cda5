"""vim in a terminal: an unsaved buffer, its undo history, registers and mode come back in another terminal."""

from app import await_true, check_equal, main

# vim may draw half a word, move the cursor there and back, and draw the rest; after this, all of it at once.
DRAW_ANEW = "\x0c"


def drive(app):
    app.write("text", "first line\nsecond line\n")
    app.start_in_terminal("vim", "-u", "NONE", "-i", "NONE", "-n", "-N", app.path("text"))
    app.terminal.await_output("second line")
    app.terminal.type("Gothird line, typed\x1b" + DRAW_ANEW)
    app.terminal.await_output("typed")
    app.terminal.type("yyp:s/third/fourth/\r" + DRAW_ANEW)
    app.terminal.await_output("fourth")
    app.terminal.type("ggi")  # left in insert mode
    app.terminal.type("zero \x0f" + DRAW_ANEW)
    app.terminal.await_output("zero ")
    app.lose(after_save=lambda: app.terminal.type("FORGOTTEN"))

    app.terminal.type("more \x1b")
    app.terminal.type(f":w {app.path('copy')}\r")
    await_true(lambda: app.exists("copy") and app.read("copy"), "vim writes the copy")
    check_equal(app.read("copy"), "zero more first line\nsecond line\nthird line, typed\nfourth line, typed\n", "the buffer")
    app.terminal.type("uuu")  # undo goes back beyond the loss: "more ", "zero ", "fourth"
    app.terminal.type(f":w {app.path('undone')}\r")
    await_true(lambda: app.exists("undone") and app.read("undone"), "vim writes the undone text")
    check_equal(app.read("undone"), "first line\nsecond line\nthird line, typed\nthird line, typed\n", "the undone buffer")
    app.terminal.type(":q!\r")


main(drive, "vim_terminal")
