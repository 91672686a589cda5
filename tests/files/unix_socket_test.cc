#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "kernel/socket.h"
#include "trip.h"

namespace perdure::trip {
namespace {

void make_pair_at(int type, int one, int other) {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, type, 0, pair) == 0);
  place(pair[0], one);
  place(pair[1], other);
}

int bound_socket(int type, const std::string& name) {
  const int fd = ::socket(AF_UNIX, type, 0);
  REQUIRE(kernel::bind_socket(fd, kernel::unix_address(name)).ok());
  return fd;
}

int connected_socket(int type, const std::string& name) {
  const int fd = ::socket(AF_UNIX, type, 0);
  REQUIRE(kernel::connect_socket(fd, kernel::unix_address(name)).ok());
  return fd;
}

std::string own_name(int fd) { return kernel::unix_name(kernel::socket_address(fd).value()); }

std::string peer_name(int fd) {
  const auto address = kernel::peer_address(fd).value();
  return address ? kernel::unix_name(*address) : "none";
}

void send_files(int fd, const std::string& data, const std::vector<int>& files) {
  REQUIRE(kernel::send_message(fd, {data, files, {}}).ok());
}

// Receives one message with at most `size` bytes; descriptors that come with it are placed from
// `first` on.
std::string receive(int fd, size_t size, int first, size_t* count) {
  std::string data(size, '\0');
  iovec part = {data.data(), size};
  alignas(cmsghdr) char control[512];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t got = ::recvmsg(fd, &header, MSG_DONTWAIT);
  *count = 0;
  if (got < 0) return "EAGAIN";
  for (cmsghdr* part_header = CMSG_FIRSTHDR(&header); part_header != nullptr;
       part_header = CMSG_NXTHDR(&header, part_header)) {
    if (part_header->cmsg_type != SCM_RIGHTS) continue;
    const size_t files = (part_header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < files; ++i) {
      int file;
      std::memcpy(&file, CMSG_DATA(part_header) + i * sizeof(int), sizeof(int));
      place(file, first + static_cast<int>(i));
    }
    *count += files;
  }
  data.resize(static_cast<size_t>(got));
  return data;
}

void listen_at(int fd, const std::string& name, int backlog = 5) {
  ::unlink(name.c_str());  // does nothing to a name that is no path
  place(bound_socket(SOCK_STREAM, name), fd);
  REQUIRE(::listen(fd, backlog) == 0);
}

TEST(UnixStream, QueuesInBothDirectionsComeBack) {
  Plan plan;
  plan.processes = 2;
  plan.set_up = [] {
    make_pair_at(SOCK_STREAM, 20, 21);
    REQUIRE(::fcntl(21, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    write_text(20, "to the ");
    write_text(20, "other");
    write_text(21, std::string(100'000, 'z'));
  };
  plan.check = [](int index) {
    if (index == 0) {
      REQUIRE(read_text(21) == "to the other");
      REQUIRE(read_text(21) == "EAGAIN");
      std::string all;
      while (all.size() < 100'000) all += read_text(20);
      REQUIRE(all == std::string(100'000, 'z'));
      write_text(20, "next");
    } else {
      REQUIRE(read_text(21) == "next");
    }
  };
  expect_round_trip(plan);
}

TEST(UnixStream, ClosedAndHalfClosedPeersComeBack) {
  Plan plan;
  plan.set_up = [] {
    make_pair_at(SOCK_STREAM, 20, 21);
    write_text(21, "last words");
    ::close(21);
    make_pair_at(SOCK_STREAM, 22, 23);
    write_text(22, "half");
    REQUIRE(::shutdown(22, SHUT_WR) == 0);
  };
  plan.check = [](int) {
    REQUIRE(read_text(20) == "last words");
    REQUIRE(read_text(20) == "EOF");
    REQUIRE(::send(20, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
    REQUIRE(read_text(23) == "half");
    REQUIRE(read_text(23) == "EOF");
    write_text(23, "still");
    REQUIRE(read_text(22) == "still");
    REQUIRE(::send(22, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
  };
  expect_round_trip(plan);
}

TEST(UnixStream, DescriptorsInFlightComeBackWithTheirByte) {
  Plan plan;
  plan.set_up = [] {
    make_pair_at(SOCK_STREAM, 20, 21);
    place(::eventfd(7, 0), 30);
    write_text(20, "before");
    send_files(20, "with", {30, 30});
    write_text(20, "after");
    // One that is open nowhere else, and holds a queue of its own.
    make_pair_at(SOCK_STREAM, 24, 25);
    write_text(24, "nested");
    send_files(20, "!", {25});
    ::close(25);
  };
  plan.check = [](int) {
    size_t count = 0;
    REQUIRE(receive(21, 6, 40, &count) == "before" && count == 0);
    REQUIRE(receive(21, 100, 40, &count) == "with" && count == 2);
    uint64_t value = 0;
    REQUIRE(::read(41, &value, 8) == 8 && value == 7);
    const uint64_t one = 1;
    REQUIRE(::write(30, &one, 8) == 8);  // the same description
    REQUIRE(::read(40, &value, 8) == 8 && value == 1);
    REQUIRE(receive(21, 5, 50, &count) == "after" && count == 0);
    REQUIRE(receive(21, 100, 50, &count) == "!" && count == 1);
    REQUIRE(read_text(50) == "nested");
    write_text(24, "again");
    REQUIRE(read_text(50) == "again");
  };
  expect_round_trip(plan);
}

TEST(UnixSeqpacket, MessagesKeepTheirBorders) {
  Plan plan;
  plan.set_up = [] {
    make_pair_at(SOCK_SEQPACKET, 20, 21);
    write_text(20, "one");
    write_text(20, std::string(70'000, 'b'));
    write_text(20, "three");
    ::close(20);
  };
  plan.check = [](int) {
    REQUIRE(read_text(21) == "one");
    REQUIRE(read_text(21, 100'000).size() == 70'000);
    REQUIRE(read_text(21) == "three");
    REQUIRE(read_text(21) == "EOF");
  };
  expect_round_trip(plan);
}

TEST(UnixDatagram, SendersNamesAndConnectionsComeBack) {
  const Folder folder;
  const std::string path = folder / "box";
  Plan plan;
  plan.set_up = [&] {
    ::unlink(path.c_str());
    place(bound_socket(SOCK_DGRAM, path), 20);
    place(bound_socket(SOCK_DGRAM, std::string("\0perdure-trip-sender", 20)), 21);
    REQUIRE(kernel::connect_socket(21, kernel::unix_address(path)).ok());
    write_text(21, "named");
    place(connected_socket(SOCK_DGRAM, path), 22);
    write_text(22, "unnamed");
    make_pair_at(SOCK_DGRAM, 23, 24);
    write_text(23, "paired");
  };
  plan.check = [&](int) {
    sockaddr_un sender;
    socklen_t size = sizeof(sender);
    char data[64];
    REQUIRE(::recvfrom(20, data, sizeof(data), 0, reinterpret_cast<sockaddr*>(&sender), &size) ==
            5);
    REQUIRE(std::string(sender.sun_path, size - 2) == std::string("\0perdure-trip-sender", 20));
    size = sizeof(sender);
    REQUIRE(::recvfrom(20, data, sizeof(data), 0, reinterpret_cast<sockaddr*>(&sender), &size) ==
            7);
    REQUIRE(size <= 2);
    REQUIRE(read_text(24) == "paired");
    write_text(21, "again");
    write_text(22, "and");
    REQUIRE(read_text(20) == "again");
    REQUIRE(read_text(20) == "and");
    write_text(24, "back");
    REQUIRE(read_text(23) == "back");
    REQUIRE(own_name(20) == path);
  };
  expect_round_trip(plan);
}

TEST(UnixDatagram, EmptyMessagesSurviveSeveralEpochs) {
  const Folder folder;
  const std::string path = folder / "box";
  Plan plan;
  plan.set_up = [&] {
    ::unlink(path.c_str());
    place(bound_socket(SOCK_DGRAM, path), 20);
    place(connected_socket(SOCK_DGRAM, path), 21);
    place(bound_socket(SOCK_DGRAM, std::string("\0perdure-trip-empty", 19)), 22);
    make_pair_at(SOCK_SEQPACKET, 23, 24);
    place(::eventfd(0, 0), 25);
    REQUIRE(kernel::connect_socket(22, kernel::unix_address(path)).ok());
    for (const int fd : {21, 22, 23}) {
      for (const char* text : {"a", "", "b", ""}) send_files(fd, text, {25});
    }
  };
  plan.check = [](int) {
    const auto expect = [](int fd) {
      for (const char* text : {"a", "", "b", ""}) {
        size_t files = 0;
        REQUIRE(receive(fd, 100, 50, &files) == text && files == 1);
      }
    };
    expect(20);
    expect(20);
    expect(24);
  };
  expect_round_trip(plan);
}

TEST(UnixDatagram, AServiceOutsideIsConnectedAgain) {
  const Folder folder;
  const int service = bound_socket(SOCK_DGRAM, folder / "log");
  Plan plan;
  plan.set_up = [&] { place(connected_socket(SOCK_DGRAM, folder / "log"), 20); };
  plan.check = [](int) { write_text(20, "entry"); };
  expect_round_trip(plan);
  EXPECT_EQ(read_text(service), "entry");
  EXPECT_EQ(read_text(service), "entry");
  ::close(service);
}

TEST(UnixListener, NameModeBacklogAndConnectionsComeBack) {
  const Folder folder;
  const std::string path = folder / "server";
  Plan plan;
  plan.processes = 2;
  plan.set_up = [&] {
    listen_at(20, path, 3);
    REQUIRE(::chmod(path.c_str(), 0620) == 0);
    make_nonblocking(20);
    place(connected_socket(SOCK_STREAM, path), 21);
    place(::accept(20, nullptr, nullptr), 22);
    write_text(21, "question");
    write_text(22, "answer");
  };
  plan.check = [&](int index) {
    if (index != 0) return;
    REQUIRE(read_text(22) == "question");
    REQUIRE(read_text(21) == "answer");
    REQUIRE(own_name(20) == path && own_name(22) == path);
    REQUIRE(peer_name(21) == path && peer_name(22).empty());
    struct stat file;
    REQUIRE(::stat(path.c_str(), &file) == 0 && (file.st_mode & 07777) == 0620);
    REQUIRE(::accept(20, nullptr, nullptr) < 0 && errno == EAGAIN);
    const int client = connected_socket(SOCK_STREAM, path);
    write_text(client, "new");
    place(::accept(20, nullptr, nullptr), 30);
    REQUIRE(read_text(30) == "new");
    // A backlog of 3 takes 4.
    for (int i = 0; i < 4; ++i) {
      const int waiting = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
      REQUIRE(kernel::connect_socket(waiting, kernel::unix_address(path)).ok());
    }
    const int refused = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    REQUIRE(!kernel::connect_socket(refused, kernel::unix_address(path)).ok() && errno == EAGAIN);
  };
  expect_round_trip(plan);
}

TEST(UnixListener, ClientsOfTheGroupThatWaitComeBackInOrder) {
  const std::string name("\0perdure-trip-listener", 22);
  Plan plan;
  plan.set_up = [&] {
    listen_at(20, name);
    place(connected_socket(SOCK_STREAM, name), 21);
    place(connected_socket(SOCK_STREAM, name), 22);
  };
  plan.check = [](int) {
    place(::accept(20, nullptr, nullptr), 30);
    place(::accept(20, nullptr, nullptr), 31);
    write_text(21, "first");
    write_text(31, "second");
    REQUIRE(read_text(30) == "first");
    REQUIRE(read_text(22) == "second");
  };
  expect_round_trip(plan);
}

TEST(UnixListener, ClientsOutsideEndAsIfTheyHadClosed) {
  const Folder folder;
  const std::string path = folder / "server";
  Plan plan;
  plan.set_up = [&] {
    listen_at(20, path);
    if (::fork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(999);  // the report, which lasts until everyone has closed it
      ::close(20);
      const int client = connected_socket(SOCK_STREAM, path);
      write_text(client, "request");
      ::pause();
    }
    place(::accept(20, nullptr, nullptr), 21);
    while (::recv(21, nullptr, 0, MSG_PEEK) < 0) continue;
    char byte;
    REQUIRE(::recv(21, &byte, 1, MSG_PEEK) == 1);
  };
  plan.check = [](int) {};
  Group group(plan);
  const Status captured = group.capture();
  ASSERT_TRUE(captured.ok()) << captured.error().to_string();
  EXPECT_TRUE(group.file(21).unix_socket().connection_ends());
  group.set_check([&](int) {
    REQUIRE(read_text(21) == "request");
    REQUIRE(read_text(21) == "EOF");
    REQUIRE(own_name(21) == path);
  });
  EXPECT_EQ(group.restore(), "");
}

TEST(UnixListener, ANameInUseIsRefusedAndAStaleFileReplaced) {
  const Folder folder;
  const std::string path = folder / "server";
  Plan plan;
  plan.set_up = [&] { listen_at(20, path); };
  plan.check = [&](int) { ::close(connected_socket(SOCK_STREAM, path)); };
  Group group(plan);
  ASSERT_TRUE(group.capture().ok());
  EXPECT_EQ(group.restore(), "");  // the lost group left its file
  ASSERT_EQ(::unlink(path.c_str()), 0);
  const int other = bound_socket(SOCK_STREAM, path);
  ASSERT_EQ(::listen(other, 1), 0);
  EXPECT_NE(group.restore().find("Unix socket " + path + " is in use by another program"),
            std::string::npos);
  ::close(other);
}

TEST(UnixListener, RelativeNamesAreBoundInTheirFolder) {
  const Folder folder;
  Plan plan;
  plan.set_up = [&] {
    REQUIRE(::chdir(folder.path().c_str()) == 0);
    listen_at(20, "relative");
  };
  plan.check = [&](int) {
    REQUIRE(own_name(20) == "relative");
    ::close(connected_socket(SOCK_STREAM, folder / "relative"));
  };
  expect_round_trip(plan);
}

TEST(UnixStream, AConnectionToAServerOutsideIsRefusedByName) {
  const Folder folder;
  const int server = bound_socket(SOCK_STREAM, folder / "server");
  ASSERT_EQ(::listen(server, 5), 0);
  int accepted = -1;
  Plan plan;
  plan.set_up = [&] { place(connected_socket(SOCK_STREAM, folder / "server"), 20); };
  plan.check = [](int) {};
  Group group(plan);
  accepted = ::accept(server, nullptr, nullptr);
  const Status captured = group.capture();
  ASSERT_FALSE(captured.ok());
  const std::string& message = captured.error().message();
  EXPECT_NE(message.find("): connection of Unix socket without a name to pid " +
                         std::to_string(::getpid())),
            std::string::npos)
      << message;
  EXPECT_NE(message.find(folder / "server"), std::string::npos) << message;
  ::close(accepted);
  ::close(server);
}

TEST(UnixStream, OptionsComeBack) {
  Plan plan;
  plan.set_up = [] {
    make_pair_at(SOCK_STREAM, 20, 21);
    REQUIRE(kernel::set_socket_option_int(20, SOL_SOCKET, SO_SNDBUF, 5000).ok());
    REQUIRE(kernel::set_socket_option_int(20, SOL_SOCKET, SO_PASSCRED, 1).ok());
    const timeval limit = {3, 250'000};
    REQUIRE(::setsockopt(21, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    write_text(21, std::string(50'000, 'q'));  // more than its restored buffer will take
    REQUIRE(kernel::set_socket_option_int(20, SOL_SOCKET, SO_PASSCRED, 0).ok());
    REQUIRE(kernel::set_socket_option_int(21, SOL_SOCKET, SO_SNDBUF, 5000).ok());
    REQUIRE(kernel::set_socket_option_int(21, SOL_SOCKET, SO_PASSCRED, 1).ok());
  };
  plan.check = [](int) {
    REQUIRE(kernel::socket_option_int(20, SOL_SOCKET, SO_SNDBUF).value() == 10'000);
    REQUIRE(kernel::socket_option_int(21, SOL_SOCKET, SO_PASSCRED).value() == 1);
    REQUIRE(kernel::socket_option_int(20, SOL_SOCKET, SO_PEEK_OFF).value() == -1);
    timeval limit = {};
    socklen_t size = sizeof(limit);
    REQUIRE(::getsockopt(21, SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == 0);
    REQUIRE(limit.tv_sec == 3 && limit.tv_usec >= 249'000);
    std::string all;
    while (all.size() < 50'000) all += read_text(20);
  };
  expect_round_trip(plan);
}

TEST(UnixStream, AnEpollWatchFollowsItsSocket) {
  Plan plan;
  plan.set_up = [] {
    make_pair_at(SOCK_STREAM, 20, 21);
    place(::epoll_create1(0), 22);
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = 20;
    REQUIRE(::epoll_ctl(22, EPOLL_CTL_ADD, 20, &event) == 0);
  };
  plan.check = [](int) {
    epoll_event event = {};
    REQUIRE(::epoll_wait(22, &event, 1, 0) == 0);
    write_text(21, "x");
    REQUIRE(::epoll_wait(22, &event, 1, 1000) == 1 && event.data.u64 == 20);
  };
  expect_round_trip(plan);
}

// Connections that a listener accepted, in several states: 20 to 25 here, their other ends 30 to 35
// in the same process or in another one.
void accept_six(const std::string& name) {
  (void)::unlink(name.c_str());
  const int listener = bound_socket(SOCK_STREAM, name);
  REQUIRE(::listen(listener, 16) == 0);
  place(listener, 10);
  for (int i = 0; i < 6; ++i) {
    place(connected_socket(SOCK_STREAM, name), 30 + i);
    place(::accept(10, nullptr, nullptr), 20 + i);
  }
  REQUIRE(::write(31, "waiting", 7) == 7);
  REQUIRE(::shutdown(32, SHUT_WR) == 0);
  REQUIRE(::fcntl(23, F_SETFL, O_NONBLOCK) == 0);
  REQUIRE(::fcntl(23, F_SETFD, FD_CLOEXEC) == 0);
  REQUIRE(::fcntl(24, F_SETOWN, ::getpid()) == 0);
  place(::dup(25), 26);
}

TEST(UnixConnections, ManyWithinAGroupComeBack) {
  Folder folder;
  const std::string name = folder / "many";
  Plan plan;
  plan.set_up = [name] { accept_six(name); };
  plan.check = [](int) {
    char data[8] = {};
    REQUIRE(::recv(21, data, sizeof(data), MSG_PEEK) == 7);
    REQUIRE(::recv(22, data, sizeof(data), 0) == 0);
    REQUIRE(::send(33, "x", 1, 0) == 1 && ::recv(23, data, 1, 0) == 1);
    REQUIRE(::send(26, "y", 1, 0) == 1 && ::recv(35, data, 1, 0) == 1);
  };
  expect_round_trip(plan);
}

TEST(UnixConnections, ManyFromOutsideEnd) {
  Folder folder;
  const std::string name = folder / "outside";
  Plan plan;
  plan.processes = 2;
  plan.set_up = [name] { accept_six(name); };
  plan.set_up_each = [](int index) {
    for (int fd = index == 0 ? 30 : 20; fd < (index == 0 ? 36 : 27); ++fd) ::close(fd);
    if (index == 1) ::close(10);
  };
  plan.check = [](int) {};
  Group group(plan);
  ASSERT_TRUE(group.capture_some(1).ok());
  for (int fd = 20; fd < 26; ++fd) {
    EXPECT_TRUE(group.file(fd).unix_socket().connection_ends()) << fd;
    EXPECT_EQ(group.file(fd).unix_socket().address(), name);
  }
  EXPECT_EQ(group.file(21).unix_socket().queue(0).data(), "waiting");
  EXPECT_EQ(group.file(23).flags() & O_NONBLOCK, static_cast<uint32_t>(O_NONBLOCK));
  group.go_on();
}

}  // namespace
}  // namespace perdure::trip
