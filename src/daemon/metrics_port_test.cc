#include "daemon/metrics_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "kernel/file.h"

namespace perdure::daemon {
namespace {

class MetricsPortTest : public testing::Test {
 protected:
  void SetUp() override { port_.emplace(std::move(MetricsPort::listen(0)).value()); }

  Fd connect() {
    Fd client = Fd::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return client;
  }
  static void say(const Fd& client, const std::string& text) {
    EXPECT_EQ(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  bool ready() { return (kernel::poll_for(port_->fd(), POLLIN, 20).value() & POLLIN) != 0; }
  // As an event loop would, until nothing happens any more.
  void serve() {
    for (int rounds = 0; ready(); ++rounds) {
      ASSERT_LT(rounds, 100) << "the loop is busy with nothing";
      port_->serve([this] {
        ++asked_;
        return text_;
      });
    }
  }
  // What has come and, if the other side has closed, "$".
  std::string heard(const Fd& client) {
    std::string text;
    char buffer[65536];
    for (;;) {
      serve();
      ssize_t got = ::recv(client.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (got == 0) return text + "$";
      if (got < 0) return text;
      text.append(buffer, static_cast<size_t>(got));
    }
  }
  std::string answer_to(const std::string& request) {
    Fd client = connect();
    say(client, request);
    return heard(client);
  }

  std::optional<MetricsPort> port_;
  std::string text_ = "a 1\n";
  int asked_ = 0;
};

TEST_F(MetricsPortTest, AnswersAScraperAndCloses) {
  std::string answer = answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("Content-Length: 4\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\na 1\n$")) << answer;
  EXPECT_EQ(asked_, 1);
}

TEST_F(MetricsPortTest, OtherRequestsAreRefused) {
  EXPECT_TRUE(answer_to("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(answer_to("POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(answer_to("hello\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_EQ(asked_, 0);
}

TEST_F(MetricsPortTest, ARequestMayComeInPieces) {
  Fd client = connect();
  for (const char* piece : {"GET /met", "rics HTTP/1.1\r\n", "\r"}) {
    say(client, piece);
    EXPECT_EQ(heard(client), "");
  }
  say(client, "\n");
  EXPECT_TRUE(heard(client).ends_with("a 1\n$"));
}

TEST_F(MetricsPortTest, ASlowReaderGetsAllAndHoldsNobodyUp) {
  text_.assign(32u << 20, 'x');
  Fd slow = connect();
  say(slow, "GET /metrics HTTP/1.1\r\n\r\n");
  serve();
  text_ = "a 1\n";
  EXPECT_TRUE(answer_to("GET /metrics HTTP/1.1\r\n\r\n").ends_with("a 1\n$"));
  std::string answer;
  for (int rounds = 0; rounds < 10'000 && !answer.ends_with("$"); ++rounds) answer += heard(slow);
  EXPECT_GT(answer.size(), 32u << 20);
  EXPECT_TRUE(answer.ends_with("xxx$"));
}

TEST_F(MetricsPortTest, SilentAndEndlessClientsAreDropped) {
  std::vector<Fd> silent;
  for (size_t count = 0; count < MetricsPort::kClientsMax; ++count) silent.push_back(connect());
  serve();
  EXPECT_TRUE(answer_to("GET /metrics HTTP/1.1\r\n\r\n").ends_with("a 1\n$"));
  EXPECT_EQ(heard(silent.front()), "$");
  EXPECT_EQ(heard(silent.back()), "");
  Fd endless = connect();
  say(endless, std::string(MetricsPort::kRequestBytesMax + 1, 'x'));
  serve();
  char byte;
  EXPECT_LE(::recv(endless.get(), &byte, 1, 0), 0);
}

TEST_F(MetricsPortTest, AClientThatLeavesIsForgotten) {
  for (int count = 0; count < 50; ++count) {
    Fd client = connect();
    if (count % 2 == 0) say(client, "GET /metr");
    serve();
  }
  serve();
  EXPECT_FALSE(ready());
  EXPECT_TRUE(answer_to("GET /metrics HTTP/1.0\r\n\r\n").ends_with("a 1\n$"));
}

TEST_F(MetricsPortTest, APortInUseIsRefusedByNumber) {
  auto again = MetricsPort::listen(port_->port());
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message().find(std::to_string(port_->port())), std::string::npos);
}

}  // namespace
}  // namespace perdure::daemon
