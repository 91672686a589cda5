#include "restore/outlook.h"

#include <gtest/gtest.h>

#include "base/limits.h"
#include "memory/read_ahead.h"
#include "store/testing.h"

namespace perdure::restore {
namespace {

using memory::PageRun;
using object::Vma;
using store::testing::page_of;

constexpr ObjectId kSpace(7);

// An epoch of one address space: mappings of whole pages, stored in the order in which they are
// put.
class OutlookTest : public ::testing::Test {
 protected:
  void map(uint64_t first, uint64_t count, Vma::Kind kind = Vma::ANONYMOUS) {
    Vma* vma = graph_.address_spaces[kSpace].add_vmas();
    vma->set_start(first << kPageShift);
    vma->set_end((first + count) << kPageShift);
    vma->set_kind(kind);
  }

  void put(uint64_t first, uint64_t count) {
    for (uint64_t page = first; page < first + count; ++page)
      PD_ASSERT_OK(writer_->put_pages(kSpace, page, page_of(page)));
  }

  Outlook look(uint64_t mapping_pages, uint64_t space_pages = 0) {
    PD_ASSERT_OK(writer_->commit({}));
    reader_ = PD_ASSERT_OK(store_->read_epoch(Epoch(1)));
    return outlook_of(graph_, plan_, *reader_, {mapping_pages, space_pages});
  }

  std::vector<PageRun> hot(const Outlook& outlook) {
    std::vector<PageRun> runs;
    for (const HotRun& each : hot_runs(outlook, *reader_)) {
      EXPECT_EQ(each.space, kSpace);
      EXPECT_LE(each.run.count, memory::ReadAhead::kBlockPages);
      runs.push_back(each.run);
    }
    return runs;
  }

  std::shared_ptr<store::SimDisk> disk_ = store::SimDisk::create(1);
  std::unique_ptr<store::Store> store_ =
      PD_ASSERT_OK(store::Store::open(store::testing::options_on(disk_, 32 << 20)));
  std::unique_ptr<store::EpochWriter> writer_ = PD_ASSERT_OK(store_->begin_epoch());
  std::unique_ptr<store::EpochReader> reader_;
  object::Graph graph_;
  Plan plan_;
};

TEST_F(OutlookTest, LargeAnonymousMappingsMayWaitAndTheRestIsLoadedAtOnce) {
  map(100, 50);
  map(1000, 200);
  map(2000, 200, Vma::FILE_PRIVATE);
  map(3000, 500);
  for (const uint64_t first : {100, 1000, 2000}) put(first, 40);
  put(1100, 60);
  const Outlook outlook = look(64);
  ASSERT_EQ(outlook.lazy.size(), 1u);
  ASSERT_EQ(outlook.lazy.at(kSpace).size(), 1u);
  EXPECT_EQ(outlook.lazy.at(kSpace).front().run, (PageRun{1000, 200}));
  EXPECT_EQ(outlook.lazy.at(kSpace).front().pages_stored, 100u);
  uint64_t at_once = 0;
  for (const store::PageExtent& extent : outlook.at_once) at_once += extent.count;
  EXPECT_EQ(at_once, 80u);
}

TEST_F(OutlookTest, SmallAddressSpacesAndParentsOfCopiesAreLoadedAtOnce) {
  map(1000, 1000);
  put(1000, 1000);
  object::Process parent;
  parent.set_address_space(kSpace.value);
  plan_.nodes.resize(2);
  plan_.nodes[0].process = &parent;
  plan_.nodes[0].children = {1};
  plan_.nodes[1].birth = Birth::kEarly;
  EXPECT_EQ(look(64, 1000).lazy.size(), 1u);
  EXPECT_EQ(outlook_of(graph_, plan_, *reader_, {64, 1001}).lazy.size(), 0u);
  plan_.nodes[1].birth = Birth::kLate;
  EXPECT_EQ(outlook_of(graph_, plan_, *reader_, {64, 1000}).lazy.size(), 0u);
}

TEST_F(OutlookTest, HotAreSmallMappingsAndThenWhatWasWrittenLast) {
  map(10'000, 4000);
  map(20'000, 300);
  put(20'000, 300);
  put(12'000, 2000);
  put(10'000, 2000);  // written last
  const std::vector<PageRun> runs = hot(look(64));
  ASSERT_GE(runs.size(), 3u);
  EXPECT_EQ(runs[0], (PageRun{20'000, 256}));
  EXPECT_EQ(runs[1], (PageRun{20'256, 44}));
  uint64_t pages = 0;
  for (size_t i = 2; i < runs.size(); ++i) {
    pages += runs[i].count;
    EXPECT_GE(runs[i].first, 10'000u);
    EXPECT_LE(runs[i].end(), 12'000u) << "an older page is no hotter";
  }
  EXPECT_GE(pages, 1700u);
  EXPECT_LT(pages, 2048u);
}

TEST_F(OutlookTest, NeighboursAreReadAsOne) {
  map(1000, 1000);
  for (uint64_t page = 1000; page < 1200; page += 10) put(page, 1);
  put(1500, 100);
  const std::vector<PageRun> runs = hot(look(1));
  EXPECT_EQ(runs, (std::vector<PageRun>{{1000, 191}, {1500, 100}}));
}

}  // namespace
}  // namespace perdure::restore
