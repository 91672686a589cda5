#include "kernel/bpf.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "kernel/btf.h"

namespace perdure::kernel {
namespace {

using Register = BpfRegister;

// Adds `by` to the only entry of an array each time that the program runs.
BpfCode adding(const BpfArray& array, int32_t by) {
  BpfCode code;
  BpfCode::Label out;
  code.store(BpfSize::k32, Register::kStackEnd, -4, 0);
  code.copy(Register::k2, Register::kStackEnd);
  code.calculate(BpfMath::kAdd, Register::k2, -4);
  code.set_map(Register::k1, array.map());
  code.call(BPF_FUNC_map_lookup_elem);
  code.jump_if(Register::k0, BpfTest::kEqual, 0, out);
  code.set(Register::k1, by);
  code.atomic_add_and_fetch_old(Register::k0, 0, Register::k1);
  code.place(out);
  code.exit_with(0);
  return code;
}

class Bpf : public testing::Test {
 protected:
  void SetUp() override {
    auto array = BpfArray::create(8, 1);
    auto btf = Btf::read_kernel();
    if (!array.ok()) GTEST_SKIP() << "bpf: " << array.error().to_string();
    if (!btf.ok()) GTEST_SKIP() << "btf: " << btf.error().to_string();
    array_ = std::make_unique<BpfArray>(std::move(*array));
    btf_ = std::make_unique<Btf>(std::move(*btf));
  }
  uint64_t& count() { return *static_cast<uint64_t*>(array_->at(0)); }

  std::unique_ptr<BpfArray> array_;
  std::unique_ptr<Btf> btf_;
};

TEST_F(Bpf, AProgramRunsForOneTask) {
  const uint32_t type = btf_->id_of(Btf::Kind::kFunction, "bpf_iter_task").value();
  auto program = load_task_program(type, adding(*array_, 7));
  if (!program.ok()) GTEST_SKIP() << "bpf: " << program.error().to_string();
  ASSERT_TRUE(run_task_program(*program, getpid()).ok());
  const uint64_t once = count();
  EXPECT_GE(once, 7u);  // for the task, and for the end
  EXPECT_LE(once, 14u);
  ASSERT_TRUE(run_task_program(*program, getpid()).ok());
  EXPECT_EQ(count(), 2 * once);
}

TEST_F(Bpf, AProgramAtATracepointRunsUntilItsLinkIsClosed) {
  const uint32_t type = btf_->id_of(Btf::Kind::kTypedef, "btf_trace_sched_process_fork").value();
  auto program = load_tracepoint_program(type, adding(*array_, 1));
  if (!program.ok()) GTEST_SKIP() << "bpf: " << program.error().to_string();
  auto link = attach_tracepoint_program(*program);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  const auto fork_once = [] {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    int status = 0;
    waitpid(child, &status, 0);
  };
  fork_once();
  EXPECT_GE(count(), 1u);
  link->reset();
  const uint64_t before = count();
  fork_once();
  EXPECT_EQ(count(), before);
}

TEST_F(Bpf, AWrongProgramIsRefusedWithTheReason) {
  BpfCode code;
  code.load(BpfSize::k64, Register::k0, Register::k9, 0);  // a register without a value
  code.exit_with(0);
  const uint32_t type = btf_->id_of(Btf::Kind::kFunction, "bpf_iter_task").value();
  auto program = load_task_program(type, code);
  ASSERT_FALSE(program.ok());
  if (program.error().code() == Code::kPermission) GTEST_SKIP() << "bpf: no permission";
  EXPECT_NE(program.error().message().find("R9"), std::string::npos) << program.error().message();
}

TEST_F(Bpf, ATableHasAKeyOnce) {
  auto table = BpfTable::create(2);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(table->add(1, 10).ok());
  EXPECT_EQ(table->add(1, 11).error().code(), Code::kExists);
  table->remove(1);
  EXPECT_TRUE(table->add(1, 11).ok());
}

TEST(BpfCode, JumpsLandWhereTheirLabelIsPlaced) {
  BpfCode code;
  BpfCode::Label label;
  code.jump_if(Register::k1, BpfTest::kEqual, 5, label);
  code.set(Register::k2, 1);
  code.jump(label);
  code.set(Register::k2, 2);
  code.place(label);
  code.exit_with(0);
  const auto& instructions = code.instructions();
  ASSERT_EQ(instructions.size(), 6u);
  EXPECT_EQ(instructions[0].off, 3);
  EXPECT_EQ(instructions[2].off, 1);
}

}  // namespace
}  // namespace perdure::kernel
