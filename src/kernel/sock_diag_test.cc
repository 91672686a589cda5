#include "kernel/sock_diag.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "kernel/file.h"
#include "kernel/socket.h"

namespace perdure::kernel {
namespace {

uint64_t inode_of(const Fd& socket) { return stat_fd(socket.get()).value().st_ino; }

void expect_same(const UnixSocketInfo& all, const UnixSocketInfo& one) {
  EXPECT_EQ(all.type, one.type);
  EXPECT_EQ(all.state, one.state);
  EXPECT_EQ(all.has_peer, one.has_peer);
  EXPECT_EQ(all.peer_inode, one.peer_inode);
  EXPECT_EQ(all.waiting, one.waiting);
  EXPECT_EQ(all.has_file, one.has_file);
  EXPECT_EQ(all.file_inode, one.file_inode);
  EXPECT_EQ(all.waiting_count, one.waiting_count);
  EXPECT_EQ(all.backlog, one.backlog);
  EXPECT_EQ(all.shutdown, one.shutdown);
  EXPECT_EQ(all.address, one.address);
  EXPECT_EQ(all.bytes_waiting, one.bytes_waiting);
}

// Names, queues, peers and clients that wait, asked for one by one and all at once.
TEST(SocketDiag, TellsTheSameOfOneAndOfAll) {
  auto diag = SocketDiag::open();
  ASSERT_TRUE(diag.ok());
  const std::string name = std::string(1, '\0') + "perdure-diag-" + std::to_string(::getpid());
  std::vector<Fd> sockets;
  auto pair = make_socket_pair(SOCK_STREAM).value();
  ASSERT_TRUE(send_message(pair.first.get(), {"twelve bytes", {}, {}}).ok());
  sockets.push_back(make_socket(AF_UNIX, SOCK_STREAM, 0).value());
  ASSERT_TRUE(bind_socket(sockets[0].get(), unix_address(name)).ok());
  ASSERT_TRUE(listen_socket(sockets[0].get(), 7).ok());
  for (int i = 0; i < 3; ++i) {
    sockets.push_back(make_socket(AF_UNIX, SOCK_STREAM, 0).value());
    ASSERT_TRUE(connect_socket(sockets.back().get(), unix_address(name)).ok());
  }
  sockets.push_back(accept_socket(sockets[0].get()).value());
  ASSERT_TRUE(shutdown_socket(pair.second.get(), SHUT_WR).ok());
  sockets.push_back(std::move(pair.first));
  sockets.push_back(std::move(pair.second));
  for (int i = 0; i < 500; ++i) sockets.push_back(make_socket(AF_UNIX, SOCK_DGRAM, 0).value());

  const auto all = diag->unix_sockets();
  ASSERT_TRUE(all.ok()) << all.error().to_string();
  for (const Fd& socket : sockets) {
    const uint64_t inode = inode_of(socket);
    const auto one = diag->unix_socket(inode);
    ASSERT_TRUE(one.ok()) << one.error().to_string();
    const auto found = all->find(static_cast<uint32_t>(inode));
    ASSERT_NE(found, all->end());
    expect_same(found->second, *one);
  }
  const UnixSocketInfo& listener = all->at(static_cast<uint32_t>(inode_of(sockets[0])));
  EXPECT_EQ(unix_name(listener.address), name);
  EXPECT_EQ(listener.waiting.size(), 2u);
  EXPECT_EQ(listener.bytes_waiting, 0u);
  const UnixSocketInfo& reader = all->at(static_cast<uint32_t>(inode_of(sockets[6])));
  EXPECT_EQ(reader.bytes_waiting, 12u);
  EXPECT_EQ(reader.address, "");
  EXPECT_EQ(diag->unix_socket(1).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace perdure::kernel
