#include "cli/arguments.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/result.h"
#include "cli/help.h"

namespace perdure::cli {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

Arguments parse(const std::string& line) {
  Parsed parsed = parse_arguments(split(line));
  EXPECT_TRUE(parsed.arguments.has_value()) << line << ": " << parsed.mistake;
  return parsed.arguments.value_or(Arguments{});
}

TEST(Arguments, RunTakesEverythingAfterTheDashes) {
  Arguments arguments =
      parse("run -d --name shop --store /s -- redis-server --port 0 -- log --name x");
  EXPECT_EQ(arguments.verb, Verb::kRun);
  EXPECT_EQ(arguments.name, "shop");
  EXPECT_EQ(arguments.store, "/s");
  EXPECT_TRUE(arguments.background);
  EXPECT_EQ(arguments.command, split("redis-server --port 0 -- log --name x"));
}

TEST(Arguments, RunWithoutDashesTakesAPlainCommand) {
  EXPECT_EQ(parse("run sleep 100").command, split("sleep 100"));
}

TEST(Arguments, ACommandMayBeNamedLikeAVerb) {
  EXPECT_EQ(parse("run -- log run --help").command, split("log run --help"));
}

TEST(Arguments, RestoreTakesEpochNameAndPolicy) {
  Arguments arguments =
      parse("restore shop --epoch 3 --name then --files volatile --isolate --eager -d --json");
  EXPECT_EQ(arguments.verb, Verb::kRestore);
  EXPECT_EQ(arguments.name, "shop");
  EXPECT_EQ(arguments.new_name, "then");
  EXPECT_EQ(arguments.epoch, Epoch(3));
  EXPECT_EQ(arguments.files, engine::FilePolicy::kVolatile);
  EXPECT_TRUE(arguments.eager && arguments.isolate && arguments.background && arguments.json);
}

TEST(Arguments, AnEpochMayBeMeantByItsTime) {
  Arguments at = parse("restore shop --at 14:03:10.250");
  ASSERT_TRUE(at.at.has_value());
  EXPECT_EQ(at.at->second, 10);
  EXPECT_EQ(at.at->nanosecond, 250'000'000u);
  EXPECT_EQ(parse("restore shop --back 3s").back_ns, 3'000'000'000u);
}

TEST(Arguments, DumpTakesAnEpochByNumberOrTime) {
  Arguments number = parse("dump shop 3 -o then.core --pid 17");
  EXPECT_EQ(number.name, "shop");
  EXPECT_EQ(number.epoch, Epoch(3));
  EXPECT_EQ(number.output, "then.core");
  EXPECT_EQ(number.pid, 17);
  EXPECT_EQ(parse("dump newest").epoch, Epoch(0));
  EXPECT_EQ(parse("dump shop --back 3s").name, "shop");
  EXPECT_EQ(parse("dump --back 3s").name, "");
  for (const char* wrong :
       {"dump", "dump shop", "dump shop 3 4", "dump shop 3 --at 10:00", "dump a b --back 1s"}) {
    EXPECT_FALSE(parse_arguments(split(wrong)).arguments.has_value()) << wrong;
  }
}

TEST(Arguments, PsShowsOneWay) {
  EXPECT_TRUE(parse("ps --watch").watch);
  EXPECT_TRUE(parse("ps --metrics").metrics);
  EXPECT_FALSE(parse_arguments(split("ps --watch --json")).arguments.has_value());
  EXPECT_FALSE(parse_arguments(split("ps --names --metrics")).arguments.has_value());
}

TEST(Arguments, LogTakesBounds) {
  Arguments arguments = parse("log shop --graph --timing -n 20 --since 5m --thin 100ms");
  EXPECT_TRUE(arguments.graph && arguments.timing);
  EXPECT_EQ(arguments.newest, 20u);
  EXPECT_EQ(arguments.since_ns, 300'000'000'000u);
  EXPECT_EQ(arguments.thin_ns, 100'000'000u);
  EXPECT_TRUE(parse("log --since 10:00").since.has_value());
  EXPECT_EQ(parse("log --all").thin_ns, 0u);
}

TEST(Arguments, RestoreDefaultsToTheNewestEpochAndUnchangedFiles) {
  Arguments arguments = parse("restore");
  EXPECT_EQ(arguments.epoch, Epoch(0));
  EXPECT_EQ(arguments.files, engine::FilePolicy::kUnchanged);
  EXPECT_EQ(parse("restore --epoch newest").epoch, Epoch(0));
}

TEST(Arguments, OptionsMayStandBeforeOrBehindNames) {
  EXPECT_EQ(parse("checkpoint shop --wait").name, "shop");
  EXPECT_EQ(parse("checkpoint --wait shop").name, "shop");
  EXPECT_TRUE(parse("checkpoint --wait shop --keep 5").wait);
  EXPECT_EQ(parse("checkpoint --wait shop --keep 5").keep, std::optional<uint64_t>(5));
}

TEST(Arguments, SettingsAreSaidOrLeftAsTheyAre) {
  EXPECT_EQ(parse("run -- x").compress, std::nullopt);
  EXPECT_EQ(parse("run --compress -- x").compress, true);
  EXPECT_EQ(parse("restore --no-compress").compress, false);
  EXPECT_EQ(parse("attach --keep 3 7").retention->newest, 3u);
  EXPECT_EQ(parse("run --keep all:1s,1/s:1m -- true").retention->rules.size(), 2u);
  EXPECT_NE(parse_arguments(split("run --keep often -- true")).mistake.find("often"),
            std::string::npos);
}

TEST(Arguments, ThePortOfFiguresIsATcpPortOrNone) {
  EXPECT_EQ(parse("run -- x").metrics_port, std::nullopt);
  EXPECT_EQ(parse("run --metrics-port 9123 -- x").metrics_port, 9123);
  EXPECT_EQ(parse("restore --metrics-port 0").metrics_port, 0);
  for (const char* wrong : {"65536", "-1", "web", "9123x", ""}) {
    EXPECT_FALSE(parse_arguments({"attach", "7", "--metrics-port", wrong}).arguments.has_value())
        << wrong;
  }
}

TEST(Arguments, EveryVerbThatReportsSomethingCanReportItAsJson) {
  for (const char* line :
       {"run -d --json -- x", "attach --json 7", "detach --json", "checkpoint --json",
        "restore --json", "pause --json", "resume --json", "ps --json", "log --json",
        "kill --json a", "rm --json a", "show --json 1", "dump --json 1", "diff --json 1 2",
        "scrub --json", "check --json"}) {
    EXPECT_TRUE(parse(line).json) << line;
  }
}

TEST(Arguments, ShowAndDiffTakeAnOptionalName) {
  EXPECT_EQ(parse("show 3").epoch, Epoch(3));
  EXPECT_EQ(parse("show 3").name, "");
  EXPECT_EQ(parse("show shop newest").name, "shop");
  Arguments diff = parse("diff shop 1 2 --all");
  EXPECT_EQ(diff.name, "shop");
  EXPECT_EQ(diff.epoch, Epoch(1));
  EXPECT_EQ(diff.other_epoch, Epoch(2));
  EXPECT_EQ(parse("diff 4 newest").other_epoch, Epoch(0));
}

TEST(Arguments, KillAndRmTakeSeveralNames) {
  EXPECT_EQ(parse("kill a b").names, split("a b"));
  EXPECT_TRUE(parse("rm -f a").force);
}

TEST(Arguments, MistakesNameThemselvesAndTheWayOut) {
  const char* table[] = {
      "",
      "frobnicate",
      "run",
      "run --",
      "run --nme x -- y",
      "run x -- y",
      "attach",
      "restore --epoch 0",
      "restore --epoch x",
      "restore --epoch 99999999999999999999",
      "restore --files maybe",
      "show",
      "show x y z",
      "show shop",
      "diff 1",
      "diff a 1 b",
      "kill",
      "rm",
      "checkpoint --keep 0",
      "checkpoint -- x",
      "log a b",
      "ps --store",
  };
  for (const char* line : table) {
    Parsed parsed = parse_arguments(split(line));
    EXPECT_FALSE(parsed.arguments.has_value()) << line;
    EXPECT_EQ(parsed.exit_status, exit_status(Code::kInvalid)) << line;
    EXPECT_FALSE(parsed.mistake.empty()) << line;
    EXPECT_FALSE(parsed.remedy.empty()) << line;
    EXPECT_EQ(parsed.mistake.find('\n'), std::string::npos) << line;
  }
}

TEST(Arguments, AnUnknownVerbIsNamed) {
  EXPECT_NE(parse_arguments({"frobnicate"}).mistake.find("frobnicate"), std::string::npos);
}

TEST(Arguments, HelpOfEveryVerbHasExamples) {
  for (int at = 0; at <= static_cast<int>(Verb::kCheck); ++at) {
    std::string name = help_of(static_cast<Verb>(at)).name;
    Parsed parsed = parse_arguments({name, "--help"});
    EXPECT_EQ(parsed.exit_status, 0) << name;
    EXPECT_NE(parsed.output.find("perdure " + name), std::string::npos) << name;
    EXPECT_NE(parsed.output.find("Examples:"), std::string::npos) << name;
  }
  EXPECT_NE(parse_arguments({"--help"}).output.find("checkpoint"), std::string::npos);
  EXPECT_EQ(parse_arguments({"--version"}).output.rfind("perdure ", 0), 0u);
}

TEST(Arguments, EveryVerbParsesToItself) {
  const std::pair<const char*, Verb> table[] = {
      {"run x", Verb::kRun},       {"attach 1", Verb::kAttach},
      {"detach", Verb::kDetach},   {"checkpoint", Verb::kCheckpoint},
      {"restore", Verb::kRestore}, {"ps", Verb::kPs},
      {"log", Verb::kLog},         {"kill a", Verb::kKill},
      {"rm a", Verb::kRm},         {"show 1", Verb::kShow},
      {"diff 1 2", Verb::kDiff},   {"scrub", Verb::kScrub},
      {"check", Verb::kCheck},
  };
  for (const auto& [line, verb] : table) EXPECT_EQ(parse(line).verb, verb) << line;
}

}  // namespace
}  // namespace perdure::cli
