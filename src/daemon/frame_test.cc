#include "daemon/frame.h"

#include <gtest/gtest.h>

#include <random>

#include "object/control.pb.h"

namespace perdure::daemon {
namespace {

std::string request_body() {
  control::Request request;
  request.mutable_checkpoint()->set_files_volatile(true);
  return request.SerializeAsString();
}

TEST(Frame, ComesBackAsItWasSent) {
  FrameReader reader;
  reader.add(encode_frame(request_body()));
  auto body = reader.next();
  ASSERT_TRUE(body.ok());
  ASSERT_TRUE(body->has_value());
  control::Request request;
  ASSERT_TRUE(request.ParseFromString(**body));
  EXPECT_TRUE(request.checkpoint().files_volatile());
  EXPECT_FALSE(reader.partial());
}

TEST(Frame, ArrivesByteByByte) {
  std::vector<uint8_t> frame = encode_frame(request_body());
  FrameReader reader;
  for (size_t at = 0; at + 1 < frame.size(); ++at) {
    reader.add(Bytes(frame).subspan(at, 1));
    auto body = reader.next();
    ASSERT_TRUE(body.ok());
    EXPECT_FALSE(body->has_value()) << "after " << at + 1 << " bytes";
  }
  reader.add(Bytes(frame).last(1));
  auto body = reader.next();
  ASSERT_TRUE(body.ok());
  EXPECT_TRUE(body->has_value());
}

TEST(Frame, TwoInOneReadAreTwo) {
  FrameReader reader;
  reader.add(encode_frame("one"));
  reader.add(encode_frame(""));
  EXPECT_EQ(reader.next()->value(), "one");
  EXPECT_EQ(reader.next()->value(), "");
  EXPECT_FALSE(reader.next()->has_value());
}

struct BadHeader {
  const char* name;
  size_t at;
  uint8_t byte;
  Code code;
};

TEST(Frame, BadHeadersAreRefused) {
  const BadHeader table[] = {
      {"magic", 0, 'X', Code::kInvalid},       {"magic's end", 3, 0, Code::kInvalid},
      {"newer version", 4, 9, Code::kNewer},   {"version 0", 4, 0, Code::kNewer},
      {"reserved bits", 6, 1, Code::kInvalid}, {"length over the limit", 11, 0xff, Code::kInvalid},
  };
  for (const BadHeader& row : table) {
    std::vector<uint8_t> frame = encode_frame(request_body());
    frame[row.at] = row.byte;
    FrameReader reader;
    reader.add(frame);
    auto body = reader.next();
    ASSERT_FALSE(body.ok()) << row.name;
    EXPECT_EQ(body.error().code(), row.code) << row.name;
  }
}

TEST(Frame, RandomBytesNeverYieldMoreThanTheyHold) {
  std::mt19937 random(20240601);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint8_t> bytes(random() % 64);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    // Half of the rounds get past the magic and the version.
    if (round % 2 == 0 && bytes.size() >= 6) {
      store_le<uint32_t>(bytes.data(), kFrameMagic);
      store_le<uint16_t>(bytes.data() + 4, kProtocolVersion);
    }
    FrameReader reader;
    reader.add(bytes);
    for (int body_count = 0; body_count < 16; ++body_count) {
      auto body = reader.next();
      if (!body.ok() || !body->has_value()) break;
      EXPECT_LE((*body)->size(), bytes.size());
      control::Request request;
      (void)request.ParseFromString(**body);
    }
  }
}

}  // namespace
}  // namespace perdure::daemon
