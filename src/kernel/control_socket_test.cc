#include "kernel/control_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "kernel/folder.h"

namespace perdure::kernel {
namespace {

class ControlSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-socket-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    path_ = base_ + "/s";
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(base_).ok()); }
  std::string base_, path_;
};

Bytes bytes_of_text(const std::string& text) {
  return Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST_F(ControlSocketTest, ConnectsAndTellsWho) {
  Fd listener = listen_unix(path_).value();
  EXPECT_FALSE(accept_unix(listener)->has_value());
  Fd client = connect_unix(path_).value();
  auto accepted = accept_unix(listener);
  ASSERT_TRUE(accepted.ok() && accepted->has_value());
  PeerCredentials peer = peer_credentials(**accepted).value();
  EXPECT_EQ(peer.pid, ::getpid());
  EXPECT_EQ(peer.uid, ::geteuid());
  struct stat status;
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ControlSocketTest, NobodyListeningIsNotFound) {
  EXPECT_EQ(connect_unix(path_).error().code(), Code::kNotFound);
  { Fd listener = listen_unix(path_).value(); }
  EXPECT_EQ(connect_unix(path_).error().code(), Code::kNotFound)
      << "a socket that a dead engine left";
  EXPECT_TRUE(listen_unix(path_).ok()) << "is replaced";
}

TEST_F(ControlSocketTest, APathThatIsTooLongSaysSo) {
  auto listener = listen_unix(base_ + "/" + std::string(120, 'x'));
  ASSERT_FALSE(listener.ok());
  EXPECT_NE(listener.error().remedy().find("PERDURE_RUNTIME_DIR"), std::string::npos);
}

TEST(ControlSocketPair, CarriesBytesAndADescriptor) {
  auto [a, b] = control_socket_pair().value();
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  Fd reader = Fd::adopt(pipe_ends[0]), writer = Fd::adopt(pipe_ends[1]);
  ASSERT_EQ(send_bytes(a, bytes_of_text("hello"), writer.get()).value(), 5u);
  std::array<uint8_t, 64> buffer;
  Received received = receive_bytes(b, buffer).value();
  EXPECT_EQ(received.bytes, 5u);
  ASSERT_EQ(received.descriptors.size(), 1u);
  EXPECT_NE(::fcntl(received.descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(::write(received.descriptors[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
}

TEST(ControlSocketPair, APeerThatWentAwayIsGoneWithoutASignal) {
  auto [a, b] = control_socket_pair().value();
  b.reset();
  EXPECT_EQ(send_bytes(a, bytes_of_text("x")).error().code(), Code::kGone);
  std::array<uint8_t, 8> buffer;
  EXPECT_TRUE(receive_bytes(a, buffer)->end);
}

TEST(ControlSocketPair, WaitingHasALimit) {
  auto [a, b] = control_socket_pair().value();
  EXPECT_FALSE(wait_readable(a.get(), std::chrono::milliseconds(1)).value());
  ASSERT_TRUE(send_bytes(b, bytes_of_text("x")).ok());
  EXPECT_TRUE(wait_readable(a.get(), std::chrono::milliseconds(-1)).value());
}

TEST(ControlSocketPair, AFullSocketTakesNothingMore) {
  auto [a, b] = control_socket_pair().value();
  ASSERT_TRUE(set_nonblocking(a).ok());
  std::string chunk(65536, 'x');
  size_t total = 0;
  while (size_t sent = send_bytes(a, bytes_of_text(chunk)).value()) total += sent;
  EXPECT_GT(total, 0u);
  EXPECT_FALSE(wait_writable(a.get(), std::chrono::milliseconds(0)).value());
}

}  // namespace
}  // namespace perdure::kernel
