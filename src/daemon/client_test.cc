#include "daemon/client.h"

#include <gtest/gtest.h>

#include "daemon/frame.h"
#include "daemon/message.h"
#include "kernel/control_socket.h"

namespace perdure::daemon {
namespace {

TEST(Client, AFailureThatIsReportedIsNotTheEndOfTheEngine) {
  auto sockets = kernel::control_socket_pair();
  ASSERT_TRUE(sockets.ok());
  Client client = Client::over(std::move(sockets->first), "shop");
  control::Response response;
  write_error(Error(Code::kGone, "pid 7 has ended"), *response.mutable_failure());
  const std::vector<uint8_t> frame = encode_frame(response.SerializeAsString());
  ASSERT_TRUE(kernel::send_bytes(sockets->second, frame).ok());
  const auto reported = client.next(kStatusTime);
  ASSERT_FALSE(reported.ok());
  EXPECT_EQ(reported.error().message(), "pid 7 has ended");
  EXPECT_FALSE(client.ended());
  sockets->second.reset();
  const auto gone = client.next(kStatusTime);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code(), Code::kGone);
  EXPECT_TRUE(client.ended());
}

}  // namespace
}  // namespace perdure::daemon
