#include "kernel/socket.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/file.h"
#include "kernel/sock_diag.h"

namespace perdure::kernel {
namespace {

std::pair<Fd, Fd> pair_of(int type) { return std::move(make_socket_pair(type)).value(); }

TEST(Socket, NamesKeepTheirExactBytes) {
  const std::string abstract("\0a\0b", 4);
  for (const std::string& name : {std::string("/run/x"), std::string(), abstract}) {
    EXPECT_EQ(unix_name(unix_address(name)), name);
  }
  const Fd socket = std::move(make_socket(AF_UNIX, SOCK_STREAM, 0)).value();
  EXPECT_EQ(unix_name(socket_address(socket.get()).value()), "");
  const std::string own("\0perdure-socket-test\0x", 22);
  ASSERT_TRUE(bind_socket(socket.get(), unix_address(own)).ok());
  EXPECT_EQ(unix_name(socket_address(socket.get()).value()), own);
}

TEST(Socket, AWalkLeavesTheQueueAndTheOffset) {
  auto [one, other] = pair_of(SOCK_SEQPACKET);
  ASSERT_TRUE(send_message(one.get(), {"first", {}, {}}).ok());
  ASSERT_TRUE(send_message(one.get(), {"second", {}, {}}).ok());
  for (int round = 0; round < 2; ++round) {
    const PeekWalk walk = std::move(PeekWalk::begin(other.get())).value();
    EXPECT_EQ(walk.offset_before(), -1);
    EXPECT_EQ(peek_message(other.get(), 100).value()->data, "first");
    EXPECT_EQ(peek_message(other.get(), 100).value()->data, "second");
    EXPECT_FALSE(peek_message(other.get(), 100).value().has_value());
  }
  EXPECT_EQ(socket_option_int(other.get(), SOL_SOCKET, SO_PEEK_OFF).value(), -1);
  EXPECT_EQ(read_some(other.get(), 100).value(), "first");
}

TEST(Socket, TheStartOfTheLastMessageIsFound) {
  auto [one, other] = pair_of(SOCK_STREAM);
  ASSERT_TRUE(send_message(one.get(), {"before", {}, {}}).ok());
  ASSERT_TRUE(send_message(one.get(), {"with", {one.get()}, {}}).ok());
  ASSERT_TRUE(send_message(one.get(), {"!", {one.get()}, {}}).ok());
  PeekWalk walk = std::move(PeekWalk::begin(other.get())).value();
  const auto glued = peek_message(other.get(), 100).value();
  EXPECT_EQ(glued->data, "beforewith");
  EXPECT_EQ(glued->files.size(), 1u);
  ASSERT_TRUE(walk.move_to(0).ok());
  EXPECT_EQ(start_of_last_message(other.get(), 10).value(), 6u);
  ASSERT_TRUE(walk.move_to(6).ok());
  EXPECT_EQ(start_of_last_message(other.get(), 4).value(), 0u);
  ASSERT_TRUE(walk.move_to(10).ok());
  EXPECT_EQ(start_of_last_message(other.get(), 1).value(), 0u);
}

TEST(Socket, FiltersAreSeen) {
  const Fd socket = std::move(make_socket(AF_UNIX, SOCK_DGRAM, 0)).value();
  EXPECT_FALSE(has_socket_filter(socket.get()));
  sock_filter accept = {BPF_RET | BPF_K, 0, 0, 0xffff};
  const sock_fprog program = {1, &accept};
  ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
  EXPECT_TRUE(has_socket_filter(socket.get()));
}

uint64_t inode_of(const Fd& fd) { return stat_fd(fd.get()).value().st_ino; }

TEST(SocketDiag, PeersListenersAndWaitingClientsAreTold) {
  const SocketDiag diag = std::move(SocketDiag::open()).value();
  auto [one, other] = pair_of(SOCK_STREAM);
  const UnixSocketInfo paired = diag.unix_socket(inode_of(one)).value();
  EXPECT_EQ(paired.type, SOCK_STREAM);
  EXPECT_TRUE(paired.has_peer);
  EXPECT_EQ(paired.peer_inode, inode_of(other));
  ASSERT_TRUE(shutdown_socket(one.get(), SHUT_WR).ok());
  EXPECT_EQ(diag.unix_socket(inode_of(one)).value().shutdown, 2);
  EXPECT_EQ(diag.unix_socket(inode_of(other)).value().shutdown, 1);

  const std::string name("\0perdure-diag-test", 18);
  const Fd listener = std::move(make_socket(AF_UNIX, SOCK_STREAM, 0)).value();
  ASSERT_TRUE(bind_socket(listener.get(), unix_address(name)).ok());
  ASSERT_TRUE(listen_socket(listener.get(), 9).ok());
  const Fd client = std::move(make_socket(AF_UNIX, SOCK_STREAM, 0)).value();
  ASSERT_TRUE(connect_socket(client.get(), unix_address(name)).ok());
  const UnixSocketInfo listening = diag.unix_socket(inode_of(listener)).value();
  EXPECT_EQ(listening.backlog, 9u);
  EXPECT_EQ(listening.waiting, std::vector<uint64_t>{inode_of(client)});
  const UnixSocketInfo waiting = diag.unix_socket(inode_of(client)).value();
  EXPECT_TRUE(waiting.has_peer);
  EXPECT_EQ(waiting.peer_inode, 0u);
  EXPECT_EQ(waiting.shutdown, 0);
}

TEST(SocketDiag, AnUnknownInodeIsNotFound) {
  const SocketDiag diag = std::move(SocketDiag::open()).value();
  const auto missing = diag.unix_socket(0xfffffff0);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

TEST(NetworkScope, OurOwnNamespaceIsNotLeft) {
  const auto before = stat_path("/proc/thread-self/ns/net").value();
  { ASSERT_TRUE(NetworkScope::enter(::getpid()).ok()); }
  EXPECT_EQ(stat_path("/proc/thread-self/ns/net").value().st_ino, before.st_ino);
}

std::optional<std::string> peek_plain(const Fd& socket) {
  return peek_plain_stream(socket.get(), 64).value();
}

TEST(PeekPlainStream, ShowsAllThatWaitsAndTakesNothing) {
  const auto [one, other] = make_socket_pair(SOCK_STREAM).value();
  EXPECT_EQ(peek_plain(other), "");
  ASSERT_TRUE(send_message(one.get(), {"twelve bytes", {}, {}}).ok());
  ASSERT_TRUE(send_message(one.get(), {", and more", {}, {}}).ok());
  EXPECT_EQ(peek_plain(other), "twelve bytes, and more");
  EXPECT_EQ(peek_plain(other), "twelve bytes, and more");
  ASSERT_TRUE(shutdown_socket(one.get(), SHUT_WR).ok());
  EXPECT_EQ(peek_plain(other), "twelve bytes, and more");
  EXPECT_EQ(bytes_waiting(other.get()).value(), 22);
}

TEST(PeekPlainStream, LeavesOutWhatIsNotPlain) {
  const auto with_file = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(send_message(with_file.first.get(), {"x", {}, {}}).ok());
  ASSERT_TRUE(send_message(with_file.first.get(), {"y", {with_file.first.get()}, {}}).ok());
  EXPECT_EQ(peek_plain(with_file.second), std::nullopt);
  const auto with_credentials = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(
      set_socket_option_int(with_credentials.second.get(), SOL_SOCKET, SO_PASSCRED, 1).ok());
  ASSERT_TRUE(send_message(with_credentials.first.get(), {"x", {}, {}}).ok());
  EXPECT_EQ(peek_plain(with_credentials.second), std::nullopt);
  const auto large = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(send_message(large.first.get(), {std::string(65, 'x'), {}, {}}).ok());
  EXPECT_EQ(peek_plain(large.second), std::nullopt);
}

// The program's own place to look at is neither used nor moved.
TEST(PeekPlainStream, LeavesThePlaceOfThoseWhoLookThemselves) {
  const auto [one, other] = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(send_message(one.get(), {"twelve bytes", {}, {}}).ok());
  ASSERT_TRUE(set_socket_option_int(other.get(), SOL_SOCKET, SO_PEEK_OFF, 3).ok());
  EXPECT_EQ(peek_plain(other), std::nullopt);
  EXPECT_EQ(socket_option_int(other.get(), SOL_SOCKET, SO_PEEK_OFF).value(), 3);
}

TEST(PeekPlainStream, LeavesOutWhatIsOutOfBand) {
  const auto [one, other] = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(send_message(one.get(), {"before", {}, {}}).ok());
  if (::send(one.get(), "!", 1, MSG_OOB) != 1) GTEST_SKIP() << "needs the feature: AF_UNIX_OOB";
  ASSERT_TRUE(send_message(one.get(), {"after", {}, {}}).ok());
  EXPECT_EQ(peek_plain(other), std::nullopt);
}

}  // namespace
}  // namespace perdure::kernel
