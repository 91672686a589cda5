#include "daemon/server.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "daemon/client.h"
#include "daemon/end_note.h"
#include "daemon/engine_process.h"
#include "daemon/message.h"
#include "daemon/test_group.h"
#include "kernel/control_socket.h"
#include "kernel/folder.h"
#include "kernel/terminal_mode.h"

namespace perdure::daemon {
namespace {

class TestTask final : public EngineTask {
 public:
  Status lock() override { return lock_result; }
  Result<std::unique_ptr<GroupControl>> begin(control::Started&) override {
    if (!begin_result.ok()) return Error(begin_result.error());
    auto group = TestGroup::start(command, terminal);
    group->awaits = awaits;
    made = group.get();
    return std::unique_ptr<GroupControl>(std::move(group));
  }
  void undo() override { undone = true; }
  void finish() override { finished = true; }

  std::vector<std::string> command = {"sleep", "1000"};
  TestTerminal terminal = TestTerminal::kNone;
  Status lock_result;
  Status begin_result;
  bool awaits = false;
  TestGroup* made = nullptr;  // as long as the engine runs
  bool undone = false;
  bool finished = false;
};

// An engine on a thread of its own, as the engine process runs it.
class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/perdure-server-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    auto read = [this](const char* variable) -> const char* {
      return std::string_view(variable) == "PERDURE_RUNTIME_DIR" ? base_.c_str() : "/nowhere";
    };
    places_.emplace(Places::find(read, true, 0).value());
    options_.place = places_->place("test", base_);
    ASSERT_TRUE(kernel::make_private_folder(options_.place.directory).ok());
  }
  void TearDown() override {
    if (engine_.joinable()) {
      auto client = Client::connect(options_.place);
      if (client.ok()) (void)client->shutdown().ok();
      engine_.join();
    }
    EXPECT_TRUE(kernel::remove_tree(base_).ok());
  }

  // Starts the engine; its first answer.
  Result<Answer> start() {
    auto [ours, starter] = kernel::control_socket_pair().value();
    starter_.emplace(Client::over(std::move(ours), "test"));
    engine_ = std::thread([this, end = std::move(starter)]() mutable {
      status_ = run_engine(*places_, options_, task_, std::move(end));
    });
    return starter_->next(kStatusTime);
  }
  Client connect() { return Client::connect(options_.place).value(); }

  std::string base_;
  std::optional<Places> places_;
  LaunchOptions options_;
  TestTask task_;
  std::optional<Client> starter_;
  std::thread engine_;
  int status_ = -1;
};

TEST_F(ServerTest, StatusNamesProcessesAndEngine) {
  auto started = start();
  ASSERT_TRUE(started.ok());
  auto status = connect().status();
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->root_pid(), started->response.started().root_pid());
  EXPECT_EQ(status->processes_size(), 1);
  EXPECT_EQ(status->store(), options_.place.store);
  EXPECT_FALSE(status->has_terminal());
}

TEST_F(ServerTest, CheckpointReportsAndFailsByName) {
  ASSERT_TRUE(start().ok());
  Client client = connect();
  auto report = client.checkpoint({});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->epoch, Epoch(1));
  auto refused = client.checkpoint({.files = engine::FilePolicy::kVolatile});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  EXPECT_EQ(refused.error().remedy(), "close it");
  EXPECT_EQ(client.checkpoint({.durable = false, .keep = 3})->epoch, Epoch(2));
}

// Another client's request that waits for pages.
class PutOff {
 public:
  template <typename Ask>
  explicit PutOff(Ask ask) : thread_([this, ask] { ask(&status_, &done_); }) {}
  ~PutOff() { thread_.join(); }
  bool done() const { return done_; }
  const Status& join() {
    while (!done_) usleep(1000);
    return status_;
  }

 private:
  Status status_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

TEST_F(ServerTest, WhilePagesAreMissingEverybodyElseIsAnswered) {
  task_.awaits = true;
  ASSERT_TRUE(start().ok());
  PutOff saving([this](Status* status, std::atomic<bool>* done) {
    auto report = connect().checkpoint({});
    if (!report.ok()) *status = report.error();
    *done = true;
  });
  for (int look = 0; look < 20; ++look) {
    ASSERT_TRUE(connect().status().ok());
    usleep(2000);
  }
  EXPECT_FALSE(saving.done());
  EXPECT_EQ(task_.made->epochs, 0u);
  task_.made->awaits = false;
  EXPECT_TRUE(saving.join().ok());
  EXPECT_EQ(connect().status()->persistence().captured(), 1u);
}

TEST_F(ServerTest, WhoWaitsForPagesOfAGroupThatEndsIsTold) {
  task_.awaits = true;
  ASSERT_TRUE(start().ok());
  PutOff leaving([this](Status* status, std::atomic<bool>* done) {
    *status = connect().detach();
    *done = true;
  });
  usleep(20'000);
  EXPECT_FALSE(leaving.done());
  EXPECT_TRUE(connect().kill().ok());
  ASSERT_FALSE(leaving.join().ok());
  EXPECT_EQ(leaving.join().error().code(), Code::kGone);
}

TEST_F(ServerTest, TheEndReachesWhoWaits) {
  task_.command = {"sh", "-c", "read line; exit 7"};
  options_.foreground = true;
  options_.show_terminal = true;
  task_.terminal = TestTerminal::kNew;
  auto started = start();
  ASSERT_TRUE(started.ok());
  ASSERT_TRUE(started->descriptor.valid());
  Client other = connect();
  ASSERT_TRUE(other.watch_end().ok());
  // The request is in before the end, since status is answered after it.
  ASSERT_TRUE(connect().status().ok());
  std::string line = "go\n";
  ASSERT_TRUE(
      kernel::write_terminal(started->descriptor.get(),
                             Bytes(reinterpret_cast<const uint8_t*>(line.data()), line.size()))
          .ok());
  for (Client* client : {&*starter_, &other}) {
    auto ended = client->next(kStatusTime);
    ASSERT_TRUE(ended.ok());
    ASSERT_TRUE(ended->response.has_ended());
    EXPECT_EQ(shell_status(ended->response.ended().wait_status()), 7);
  }
  engine_.join();
  EXPECT_EQ(status_, 0);
  EXPECT_TRUE(task_.finished);
  EXPECT_EQ(shell_status(read_end_note(options_.place.directory)->wait_status.value()), 7);
  EXPECT_FALSE(Client::connect(options_.place).ok());
}

TEST_F(ServerTest, KillAnswersWhenTheGroupHasEnded) {
  ASSERT_TRUE(start().ok());
  auto ended = connect().kill();
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(shell_status(ended->wait_status()), 128 + SIGKILL);
}

TEST_F(ServerTest, ShutdownLeavesNoEndNote) {
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(connect().shutdown().ok());
  engine_.join();
  EXPECT_FALSE(task_.finished);
  EXPECT_FALSE(read_end_note(options_.place.directory));
}

TEST_F(ServerTest, DetachIsNoted) {
  ASSERT_TRUE(start().ok());
  ASSERT_TRUE(connect().detach().ok());
  engine_.join();
  EXPECT_EQ(read_end_note(options_.place.directory)->how, EndNote::How::kDetached);
}

TEST_F(ServerTest, ATerminalHasOneViewerAndReplaysWhatWasMissed) {
  task_.terminal = TestTerminal::kNew;
  task_.command = {"sh", "-c", "echo ready; read line; echo got $line; sleep 1000"};
  ASSERT_TRUE(start().ok());
  auto first = std::make_optional(connect());
  auto terminal = first->terminal();
  ASSERT_TRUE(terminal.ok());
  EXPECT_EQ(connect().terminal().error().code(), Code::kBusy);
  EXPECT_TRUE(connect().status()->terminal_in_use());

  std::string line = "hello\n";
  Bytes typed(reinterpret_cast<const uint8_t*>(line.data()), line.size());
  ASSERT_TRUE(kernel::write_terminal(terminal->master.get(), typed).ok());
  // The viewer goes; what the program then writes is kept for the next one.
  std::string seen = terminal->replay;
  first.reset();
  *terminal = {};
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (seen.find("got hello") == std::string::npos &&
         std::chrono::steady_clock::now() < deadline) {
    Client next = connect();
    auto again = next.terminal();
    if (!again.ok()) continue;  // the engine has not seen the first one's end yet
    seen += again->replay;
  }
  EXPECT_NE(seen.find("got hello"), std::string::npos) << seen;
}

TEST_F(ServerTest, WithoutATerminalThatIsSaid) {
  ASSERT_TRUE(start().ok());
  EXPECT_EQ(connect().terminal().error().code(), Code::kNotFound);
}

TEST_F(ServerTest, HostileBytesCostTheirConnectionOnly) {
  ASSERT_TRUE(start().ok());
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Fd socket = kernel::connect_unix(options_.place.socket_path).value();
    std::vector<uint8_t> bytes(random() % 5000 + 1);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    if (round % 3 == 0) bytes = encode_frame(std::string(bytes.begin(), bytes.end()));
    (void)kernel::send_bytes(socket, bytes, round % 2 == 0 ? socket.get() : -1).ok();
  }
  EXPECT_TRUE(connect().status().ok());
}

TEST_F(ServerTest, HalfARequestIsNoReasonToStopServing) {
  ASSERT_TRUE(start().ok());
  Fd stuck = kernel::connect_unix(options_.place.socket_path).value();
  std::vector<uint8_t> frame = encode_frame("0123456789");
  ASSERT_TRUE(kernel::send_bytes(stuck, Bytes(frame).first(13)).ok());
  EXPECT_TRUE(connect().status().ok());
}

TEST_F(ServerTest, MoreClientsThanTheLimitWaitTheirTurn) {
  ASSERT_TRUE(start().ok());
  std::vector<Fd> idle;
  for (size_t at = 0; at < kConnectionsMax - 1; ++at) {
    idle.push_back(kernel::connect_unix(options_.place.socket_path).value());
  }
  EXPECT_TRUE(connect().status().ok());
  idle.push_back(kernel::connect_unix(options_.place.socket_path).value());
  idle.push_back(kernel::connect_unix(options_.place.socket_path).value());
  Client late = connect();
  idle.clear();
  EXPECT_TRUE(late.status().ok());
}

TEST_F(ServerTest, AFailedStartReachesTheStarterAndLeavesNoSocket) {
  task_.begin_result = Error(Code::kPermission, "no").with_remedy("be root");
  auto started = start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), Code::kPermission);
  EXPECT_EQ(started.error().remedy(), "be root");
  engine_.join();
  EXPECT_TRUE(task_.undone);
  EXPECT_FALSE(kernel::exists(options_.place.socket_path));
}

TEST_F(ServerTest, ASecondEngineDoesNotTouchTheFirstOnesSocket) {
  ASSERT_TRUE(start().ok());
  TestTask second;
  second.lock_result = Error(Code::kBusy, "locked");
  auto [ours, starter] = kernel::control_socket_pair().value();
  EXPECT_EQ(run_engine(*places_, options_, second, std::move(starter)), exit_status(Code::kBusy));
  EXPECT_FALSE(second.undone);
  EXPECT_TRUE(connect().status().ok());
}

}  // namespace
}  // namespace perdure::daemon
