#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trip.h"

namespace perdure::trip {
namespace {

void make_pipe_at(int reader, int writer, int flags = 0) {
  int ends[2];
  REQUIRE(::pipe2(ends, flags) == 0);
  place(ends[0], reader);
  place(ends[1], writer);
}

int events(int fd) {
  struct pollfd watched = {fd, POLLIN | POLLOUT, 0};
  REQUIRE(::poll(&watched, 1, 0) >= 0);
  return watched.revents;
}

TEST(Pipe, ContentFlagsAndCapacityComeBack) {
  Plan plan;
  plan.processes = 2;
  plan.set_up = [] {
    make_pipe_at(20, 21);
    write_text(21, "hello ");
    write_text(21, "world");
    make_pipe_at(22, 23, O_NONBLOCK);
    REQUIRE(::fcntl(23, F_SETPIPE_SZ, 1 << 20) == 1 << 20);
    write_text(23, std::string(1 << 20, 'x'));
  };
  plan.check = [](int index) {
    if (index == 0) {
      REQUIRE(read_text(20) == "hello world");
      REQUIRE(::fcntl(22, F_GETPIPE_SZ) == 1 << 20);
      REQUIRE(::write(23, "y", 1) < 0 && errno == EAGAIN);
      size_t total = 0;
      for (std::string text; (text = read_text(22, 1 << 20)) != "EAGAIN";) total += text.size();
      REQUIRE(total == 1 << 20);
      REQUIRE((::fcntl(20, F_GETFL) & O_NONBLOCK) == 0);
      write_text(21, "from the first");
    } else {
      REQUIRE(read_text(20) == "from the first");
    }
  };
  expect_round_trip(plan);
}

TEST(Pipe, AClosedEndStaysClosed) {
  Plan plan;
  plan.set_up = [] {
    ::signal(SIGPIPE, SIG_IGN);
    make_pipe_at(20, 21);
    write_text(21, "last");
    ::close(21);
    make_pipe_at(22, 23);
    ::close(22);
  };
  plan.check = [](int) {
    ::signal(SIGPIPE, SIG_IGN);
    REQUIRE(read_text(20) == "last");
    REQUIRE(read_text(20) == "EOF");
    REQUIRE((events(20) & POLLHUP) != 0);
    REQUIRE(::write(23, "x", 1) < 0 && errno == EPIPE);
  };
  expect_round_trip(plan);
}

TEST(Pipe, PacketsKeepTheirBorders) {
  Plan plan;
  plan.set_up = [] {
    make_pipe_at(20, 21, O_DIRECT | O_NONBLOCK);
    write_text(21, "one");
    write_text(21, "three");
  };
  plan.check = [](int) {
    REQUIRE(read_text(20) == "one");
    REQUIRE(read_text(20) == "three");
    write_text(21, "a");
    write_text(21, "b");
    REQUIRE(read_text(20) == "a");
    REQUIRE((::fcntl(21, F_GETFL) & O_DIRECT) != 0);
  };
  expect_round_trip(plan);
}

TEST(Pipe, SeveralDescriptionsOfOneEndStayApart) {
  Plan plan;
  plan.set_up = [] {
    make_pipe_at(20, 21);
    place(::open("/proc/self/fd/20", O_RDONLY | O_NONBLOCK), 22);
  };
  plan.check = [](int) {
    REQUIRE((::fcntl(20, F_GETFL) & O_NONBLOCK) == 0);
    REQUIRE(read_text(22) == "EAGAIN");
    write_text(21, "x");
    REQUIRE(read_text(22) == "x");
    ::close(21);
    REQUIRE(read_text(20) == "EOF");
  };
  expect_round_trip(plan);
}

TEST(Pipe, AnOutsideEndIsRefusedByName) {
  // A group of two processes of which one is captured: the other holds the write end.
  Plan plan;
  plan.set_up = [] { make_pipe_at(20, 21); };
  plan.set_up_each = [](int index) { ::close(index == 0 ? 21 : 20); };
  plan.check = [](int) {};
  plan.processes = 2;
  Group group(plan);
  const Status captured = group.capture_some(1);
  ASSERT_FALSE(captured.ok());
  EXPECT_EQ(captured.error().code(), Code::kUnsupported);
  EXPECT_NE(captured.error().message().find("fd 20: read end of pipe:["), std::string::npos);
  EXPECT_NE(captured.error().message().find("held by pid " + std::to_string(group.pid(1))),
            std::string::npos)
      << captured.error().message();
}

TEST(StandardStream, OutsidePipesOfStandardStreamsComeFromWhoeverRestores) {
  int input[2];
  ASSERT_EQ(::pipe(input), 0);
  const int saved = ::dup(0);
  ASSERT_EQ(::dup2(input[0], 0), 0);
  ::close(input[0]);
  Plan plan;
  plan.set_up = [] { REQUIRE(::dup2(0, 30) == 30); };
  plan.check = [](int) { REQUIRE(read_text(30, 5) == "typed"); };
  Group group(plan);
  ASSERT_EQ(::dup2(saved, 0), 0);
  ASSERT_TRUE(group.capture().ok());
  EXPECT_EQ(group.file(30).standard_stream().number(), 0);
  EXPECT_EQ(group.file(0).standard_stream().number(), 0);
  int given[2];
  ASSERT_EQ(::pipe(given), 0);
  ASSERT_EQ(::write(given[1], "typed", 5), 5);
  ASSERT_EQ(::dup2(given[0], 0), 0);
  EXPECT_EQ(group.restore({}), "");
  ASSERT_EQ(::dup2(saved, 0), 0);
  for (const int fd : {saved, input[1], given[0], given[1]}) ::close(fd);
}

TEST(Fifo, ContentAndBothEndsComeBack) {
  const std::string path = "/tmp/perdure-fifo-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Plan plan;
  plan.set_up = [&] {
    place(::open(path.c_str(), O_RDONLY | O_NONBLOCK), 20);
    place(::open(path.c_str(), O_WRONLY), 21);
    write_text(21, "named");
  };
  plan.check = [&](int) {
    REQUIRE(read_text(20) == "named");
    REQUIRE(read_text(20) == "EAGAIN");
    const int another = ::open(path.c_str(), O_WRONLY | O_NONBLOCK);
    write_text(another, "later");
    REQUIRE(read_text(20) == "later");
    ::close(another);
    ::close(21);
    REQUIRE(read_text(20) == "EOF");
  };
  expect_round_trip(plan);
  ::unlink(path.c_str());
}

TEST(Fifo, AReaderKnowsWhetherItEverHadAWriter) {
  const std::string path = "/tmp/perdure-fifo-" + std::to_string(::getpid());
  for (const bool had_writer : {false, true}) {
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    Plan plan;
    plan.set_up = [&] {
      place(::open(path.c_str(), O_RDONLY | O_NONBLOCK), 20);
      if (had_writer) ::close(::open(path.c_str(), O_WRONLY));
    };
    plan.check = [&](int) { REQUIRE(((events(20) & POLLHUP) != 0) == had_writer); };
    expect_round_trip(plan);
    ::unlink(path.c_str());
  }
}

TEST(Fifo, AnOutsideWriterIsRefusedByName) {
  const std::string path = "/tmp/perdure-fifo-" + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  Group outside({[&] { place(::open(path.c_str(), O_RDWR), 20); }, nullptr, [](int) {}, 1});
  const std::string refused =
      refusal_of([&] { place(::open(path.c_str(), O_RDONLY | O_NONBLOCK), 20); });
  EXPECT_NE(refused.find("read end of FIFO " + path), std::string::npos) << refused;
  EXPECT_NE(refused.find("pid " + std::to_string(outside.pid())), std::string::npos) << refused;
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace perdure::trip
