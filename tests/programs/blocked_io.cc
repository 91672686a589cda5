// Calls that wait for another thread: read and write on pipes and sockets, accept, eventfd, flock.
// None sees EINTR, none transfers a byte twice.
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/program.h"

static std::atomic<int> started{0};

int main() {
  std::vector<std::thread> threads;
  int reading[2], writing[2], pair[2];
  SYS(pipe(reading));
  SYS(pipe(writing));
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int event = SYS(eventfd(0, 0));
  int listener = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address = {AF_UNIX, {}};
  strcpy(address.sun_path, test::path("blocked.sock"));
  SYS(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address));
  SYS(listen(listener, 3));

  threads.emplace_back([&] {
    char text[16] = {};
    ++started;
    CHECK_EQ(SYS(read(reading[0], text, sizeof text)), 6);
    CHECK_TEXT(text, "hello");
  });
  threads.emplace_back([&] {
    std::vector<char> much(200'000);
    fill(much.data(), much.size(), 3);
    ++started;
    // Partly written when the checkpoint comes; a write may then be short, never repeated.
    size_t sent = 0;
    while (sent < much.size())
      sent += SYS(write(writing[1], much.data() + sent, much.size() - sent));
  });
  threads.emplace_back([&] {
    char text[16] = {};
    ++started;
    ssize_t have = SYS(recv(pair[0], text, 6, MSG_WAITALL));
    // A save between two parts makes it short, as any signal does; nothing is lost.
    while (test::mode_is("every") && have < 6)
      have += SYS(recv(pair[0], text + have, size_t(6 - have), MSG_WAITALL));
    CHECK_EQ(have, 6);
    CHECK_TEXT(text, "world");
  });
  threads.emplace_back([&] {
    uint64_t count = 0;
    ++started;
    CHECK_EQ(SYS(read(event, &count, 8)), 8);
    CHECK_EQ(count, 12);
  });
  threads.emplace_back([&] {
    ++started;
    int connection = SYS(accept(listener, nullptr, nullptr));
    char byte = 0;
    CHECK_EQ(SYS(read(connection, &byte, 1)), 1);
    CHECK_EQ(byte, 'c');
    close(connection);
  });
  while (started < int(threads.size())) pause_ms(1);
  pause_ms(50);
  checkpoint_here();

  CHECK_EQ(SYS(write(reading[1], "hello", 6)), 6);
  std::vector<char> got(200'000);
  for (size_t have = 0; have < got.size();)
    have += SYS(read(writing[0], got.data() + have, got.size() - have));
  check_filled(got.data(), got.size(), 3, "what went through the pipe");
  CHECK_EQ(SYS(write(pair[1], "wor", 3)), 3);
  pause_ms(5);
  CHECK_EQ(SYS(write(pair[1], "ld", 3)), 3);
  uint64_t count = 12;
  CHECK_EQ(SYS(write(event, &count, 8)), 8);
  int client = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  SYS(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address));
  CHECK_EQ(SYS(write(client, "c", 1)), 1);
  for (auto& thread : threads) thread.join();
  done();
}
