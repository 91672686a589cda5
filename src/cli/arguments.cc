// Compiled with exceptions: CLI11 throws ParseError. None leaves this file.
#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "base/result.h"
#include "cli/help.h"
#include "daemon/pacer.h"

namespace perdure::cli {
namespace {

constexpr int kVerbCount = static_cast<int>(Verb::kCheck) + 1;

// Texts as CLI11 collects them, before they become Arguments.
struct Words {
  std::vector<std::string> positional;
  std::string epoch;
  std::string at;
  std::string back;
  std::string every;
  std::string retention;
  std::string since;
  std::string pid;
  std::string metrics_port;
  std::string thin;
  std::string files = "unchanged";
};

struct Line {
  Arguments arguments;
  Words words;
};

// As CLI11's own, with the usage in our words.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    for (int at = 0; at < kVerbCount; ++at) {
      const VerbHelp& help = help_of(static_cast<Verb>(at));
      if (app->get_name() == help.name)
        return "Usage: perdure " + app->get_name() + " " + help.usage + "\n";
    }
    return "Usage: " + name + " VERB [OPTIONS] ...\n";
  }
};

std::string check_count(const std::string& text) {
  bool good = !text.empty() && text.size() <= 12 &&
              text.find_first_not_of("0123456789") == std::string::npos &&
              text.find_first_not_of('0') != std::string::npos;
  return good ? "" : "'" + text + "' is no number of epochs from 1";
}

std::optional<Epoch> epoch_of(const std::string& text) {
  if (text == "newest") return Epoch(0);
  uint64_t value = 0;
  if (text.empty() || text.size() > 18) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value == 0) return std::nullopt;
  return Epoch(value);
}

std::string check_epoch(const std::string& text) {
  return epoch_of(text) ? "" : "'" + text + "' is no epoch: give a number from 1, or newest";
}

std::string check_moment(const std::string& text) {
  return parse_moment(text) ? ""
                            : "'" + text +
                                  "' is no time: give HH:MM:SS or \"YYYY-MM-DD HH:MM:SS\", with or "
                                  "without a fraction";
}

std::string check_span(const std::string& text) {
  return parse_span_ns(text) ? "" : "'" + text + "' is no span of time: give 250ms, 3s, 5m or 1h";
}

std::string check_period(const std::string& text) {
  const std::optional<uint64_t> span = parse_span_ns(text);
  if (!span) return check_span(text);
  const bool possible = *span >= daemon::kPeriodNsMin && *span <= daemon::kPeriodNsMax;
  return possible ? "" : "'" + text + "' is no period: give 1ms to 24h";
}

std::string check_retention(const std::string& text) {
  auto policy = store::parse_retention(text);
  return policy.ok() ? "" : policy.error().message();
}

std::string check_since(const std::string& text) {
  return parse_moment(text) || parse_span_ns(text)
             ? ""
             : "'" + text + "' is no time and no span of time: give HH:MM:SS, 3s or 5m";
}

std::string check_thin(const std::string& text) {
  auto span = parse_span_ns(text);
  return span && *span > 0 ? "" : "'" + text + "' is no span of time: give 100ms, 1s or 1m";
}

std::optional<uint16_t> port_of(const std::string& text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

std::string check_port(const std::string& text) {
  return port_of(text) ? "" : "'" + text + "' is no TCP port: give 1 to 65535, or 0 for none";
}

std::string check_pid(const std::string& text) {
  bool good = !text.empty() && text.size() <= 7 &&
              text.find_first_not_of("0123456789") == std::string::npos && text.front() != '0';
  return good ? "" : "'" + text + "' is no process number";
}

void add_json(CLI::App* sub, Line& line) {
  sub->add_flag("--json", line.arguments.json, "Print JSON for programs");
}

void add_files(CLI::App* sub, Line& line, const char* what) {
  sub->add_option("--files", line.words.files, what)
      ->type_name("POLICY")
      ->check(CLI::IsMember({"unchanged", "volatile"}));
}

void add_background(CLI::App* sub, Line& line) {
  sub->add_flag("-d,--detach", line.arguments.background,
                "Return at once; the group has no terminal of yours");
}

void add_keep(CLI::App* sub, Line& line, const char* what) {
  sub->add_option("--keep", line.arguments.keep, what)->type_name("N")->check(check_count);
}

void add_every(CLI::App* sub, Line& line) {
  sub->add_option("--every", line.words.every, "Save the group periodically: 10ms, 1s, 5m")
      ->type_name("SPAN")
      ->check(check_period);
}

// What the group remembers.
void add_settings(CLI::App* sub, Line& line) {
  sub->add_option(
         "--keep", line.words.retention,
         "Which epochs stay: the newest N, or rules as all:1s,1/s:1m,1/m:1h,1/h:7d [all; with "
         "--every those rules]")
      ->type_name("N|RULES")
      ->check(check_retention);
  add_every(sub, line);
  sub->add_option("--metrics-port", line.words.metrics_port,
                  "Serve http://127.0.0.1:PORT/metrics for Prometheus; 0: no longer")
      ->type_name("PORT")
      ->check(check_port);
  sub->add_flag_callback(
      "--compress", [&line] { line.arguments.compress = true; }, "Store epochs compressed (zstd)");
  sub->add_flag_callback(
      "--no-compress", [&line] { line.arguments.compress = false; }, "Do not [default]");
}

void add_name_argument(CLI::App* sub, Line& line) {
  sub->add_option("NAME", line.arguments.name,
                  "The group; may be left out where there is only one");
}

void add_run(CLI::App* run, Line& line) {
  run->add_option("--name", line.arguments.name, "The group's name [the command's]")
      ->type_name("NAME");
  add_background(run, line);
  add_settings(run, line);
  add_json(run, line);
  run->add_option("COMMAND", line.arguments.command, "What to run, after --");
}

void add_attach(CLI::App* attach, Line& line) {
  attach
      ->add_option("TARGET", line.arguments.target,
                   "A process with those below it, or a group's name")
      ->type_name("PID|NAME")
      ->required();
  attach->add_option("--name", line.arguments.name, "The new group's name [the process's]")
      ->type_name("NAME");
  add_background(attach, line);
  add_settings(attach, line);
  add_json(attach, line);
}

void add_checkpoint(CLI::App* checkpoint, Line& line) {
  add_name_argument(checkpoint, line);
  checkpoint->add_flag("--wait", line.arguments.wait, "Return when the epoch is durable");
  add_keep(checkpoint, line, "Keep the newest N epochs only");
  add_files(checkpoint, line,
            "unchanged: note files' identity to check it at restore; volatile: do not");
  add_json(checkpoint, line);
}

void add_times(CLI::App* sub, Line& line) {
  auto* at = sub->add_option("--at", line.words.at,
                             "The newest epoch captured at or before it; a time of day is today's")
                 ->type_name("TIME")
                 ->check(check_moment);
  auto* back =
      sub->add_option("--back", line.words.back,
                      "The newest epoch captured at least so long before the newest of all")
          ->type_name("SPAN")
          ->check(check_span);
  at->excludes(back);
}

// By number or by time.
void add_choice(CLI::App* sub, Line& line) {
  auto* number = sub->add_option("--epoch", line.words.epoch, "Which epoch [newest]")
                     ->type_name("EPOCH")
                     ->check(check_epoch);
  add_times(sub, line);
  number->excludes("--at")->excludes("--back");
}

void add_restore(CLI::App* restore, Line& line) {
  add_name_argument(restore, line);
  add_choice(restore, line);
  restore
      ->add_option("--name", line.arguments.new_name,
                   "Restore under another name, beside the original")
      ->type_name("NEW");
  add_files(restore, line,
            "unchanged: refuse where a file differs; volatile: take files as they are");
  restore->add_flag("--isolate", line.arguments.isolate,
                    "An attached group: into fresh namespaces");
  restore->add_flag("--eager", line.arguments.eager,
                    "Load all memory before the group runs [while it runs]");
  add_background(restore, line);
  add_settings(restore, line);
  add_json(restore, line);
}

void add_log(CLI::App* log, Line& line) {
  add_name_argument(log, line);
  log->add_flag("--graph", line.arguments.graph,
                "Draw the branches that rewinds made, newest first");
  log->add_flag("--timing", line.arguments.timing,
                "Show the parts of the stop windows, and p50, p99 and the most of each");
  log->add_option("-n", line.arguments.newest, "The newest N only")
      ->type_name("N")
      ->check(check_count);
  log->add_option("--since", line.words.since,
                  "From a time on, or from a span before the newest epoch")
      ->type_name("TIME|SPAN")
      ->check(check_since);
  auto* thin = log->add_option("--thin", line.words.thin,
                               "Of each such span only the last epoch, and where branches are")
                   ->type_name("SPAN")
                   ->check(check_thin);
  log->add_flag_callback(
         "--all", [&line] { line.arguments.thin_ns = 0; },
         "All, where a terminal would get thinned ones")
      ->excludes(thin);
  add_json(log, line);
}

void add_ps(CLI::App* ps, Line& line) {
  // One way to show them.
  CLI::Option* ways[] = {
      ps->add_flag("--json", line.arguments.json, "Print JSON for programs"),
      ps->add_flag("--names", line.arguments.names_only, "Print names only, one a line"),
      ps->add_flag("--watch", line.arguments.watch,
                   "Show rates and stop windows on the terminal until q"),
      ps->add_flag("--metrics", line.arguments.metrics,
                   "Print the figures of running groups as Prometheus reads them"),
  };
  for (size_t at = 0; at < std::size(ways); ++at) {
    for (size_t other = at + 1; other < std::size(ways); ++other) ways[at]->excludes(ways[other]);
  }
}

void add_names(CLI::App* sub, Line& line) {
  sub->add_option("NAME", line.arguments.names, "The groups")->required();
  add_json(sub, line);
}

void add_rm(CLI::App* rm, Line& line) {
  add_names(rm, line);
  rm->add_flag("-f,--force", line.arguments.force, "Kill the group first if it runs");
}

bool choose_by_time(const Line& line) { return !line.words.at.empty() || !line.words.back.empty(); }

void add_show(CLI::App* show, Line& line) {
  show->add_option("EPOCH", line.words.positional,
                   "The group's name, if there are several, and the epoch")
      ->type_name("[NAME] EPOCH")
      ->expected(1, 2)
      ->required();
  add_json(show, line);
}

void add_dump(CLI::App* dump, Line& line) {
  dump->add_option("EPOCH", line.words.positional,
                   "The group's name, if there are several, and the epoch")
      ->type_name("[NAME] EPOCH")
      ->expected(0, 2);
  add_times(dump, line);
  dump->add_option("-o,--output", line.arguments.output, "The core file [core.PID]")
      ->type_name("FILE");
  dump->add_option("--pid", line.words.pid,
                   "Of several processes, this one, as the group numbers it")
      ->type_name("PID")
      ->check(check_pid);
  add_json(dump, line);
}

void add_diff(CLI::App* diff, Line& line) {
  diff->add_option("EPOCHS", line.words.positional,
                   "The group's name, if there are several, and two epochs")
      ->type_name("[NAME] E1 E2")
      ->expected(2, 3)
      ->required();
  diff->add_flag("--all", line.arguments.all,
                 "Every changed range of pages, not only the first of each object");
  add_json(diff, line);
}

void add_options(CLI::App* sub, Line& line, Verb verb) {
  switch (verb) {
    case Verb::kRun:
      return add_run(sub, line);
    case Verb::kAttach:
      return add_attach(sub, line);
    case Verb::kDetach:
    case Verb::kPause:
    case Verb::kScrub:
      add_name_argument(sub, line);
      return add_json(sub, line);
    case Verb::kCheckpoint:
      return add_checkpoint(sub, line);
    case Verb::kRestore:
      return add_restore(sub, line);
    case Verb::kResume:
      add_name_argument(sub, line);
      add_every(sub, line);
      return add_json(sub, line);
    case Verb::kPs:
      return add_ps(sub, line);
    case Verb::kKill:
      return add_names(sub, line);
    case Verb::kRm:
      return add_rm(sub, line);
    case Verb::kShow:
      return add_show(sub, line);
    case Verb::kDump:
      return add_dump(sub, line);
    case Verb::kDiff:
      return add_diff(sub, line);
    case Verb::kLog:
      return add_log(sub, line);
    case Verb::kCheck:
      return add_json(sub, line);
  }
}

void add_verb(CLI::App& app, Line& line, Verb verb) {
  const VerbHelp& help = help_of(verb);
  CLI::App* sub = app.add_subcommand(help.name, help.what);
  sub->group("Verbs");
  sub->footer(help.footer);
  sub->callback([&line, verb] { line.arguments.verb = verb; });
  add_options(sub, line, verb);
  if (verb == Verb::kCheck) return;
  sub->add_option("--store", line.arguments.store, "The folder that holds the groups' folders")
      ->type_name("DIR");
}

// Describing a verb takes longer than parsing it: where the first word is one, the others are left
// out.
void add_verbs(CLI::App& app, Line& line, const std::string& first_word) {
  for (int at = 0; at < kVerbCount; ++at) {
    if (first_word == help_of(static_cast<Verb>(at)).name)
      return add_verb(app, line, static_cast<Verb>(at));
  }
  for (int at = 0; at < kVerbCount; ++at) add_verb(app, line, static_cast<Verb>(at));
}

Parsed mistake(std::string what, std::string remedy) {
  Parsed parsed;
  parsed.exit_status = exit_status(Code::kInvalid);
  parsed.mistake = std::move(what);
  parsed.remedy = std::move(remedy);
  return parsed;
}

// Takes the last `count` positional words as epochs and the one before them, if any, as the group's
// name.
std::string take_epochs(Line& line, size_t count) {
  std::vector<std::string>& words = line.words.positional;
  for (size_t at = words.size() - count; at < words.size(); ++at) {
    std::string wrong = check_epoch(words[at]);
    if (!wrong.empty()) return wrong;
  }
  if (words.size() > count + 1) return "'" + words[1] + "' is one word too many";
  if (words.size() > count) line.arguments.name = words.front();
  if (count == 0) return "";
  line.arguments.epoch = *epoch_of(words[words.size() - count]);
  line.arguments.other_epoch = *epoch_of(words.back());
  return "";
}

size_t epochs_among_words(const Line& line) {
  switch (line.arguments.verb) {
    case Verb::kShow:
      return 1;
    case Verb::kDump:
      return choose_by_time(line) ? 0 : 1;
    case Verb::kDiff:
      return 2;
    default:
      return 0;
  }
}

// What CLI11 cannot express.
Parsed finish(Line& line, std::vector<std::string> command) {
  Arguments& arguments = line.arguments;
  std::string verb = help_of(arguments.verb).name;
  std::string remedy = "`perdure " + verb + " --help` shows how";
  if (!command.empty() && arguments.verb != Verb::kRun)
    return mistake("-- belongs to perdure run", remedy);
  if (!command.empty() && !arguments.command.empty()) {
    return mistake("'" + arguments.command.front() + "' before -- is no option of run", remedy);
  }
  if (!command.empty()) arguments.command = std::move(command);
  if (arguments.verb == Verb::kRun && arguments.command.empty()) {
    return mistake("there is no command to run", "perdure run -- COMMAND...");
  }
  if (!line.words.epoch.empty()) arguments.epoch = *epoch_of(line.words.epoch);
  if (!line.words.at.empty()) arguments.at = parse_moment(line.words.at);
  if (!line.words.back.empty()) arguments.back_ns = parse_span_ns(line.words.back);
  if (!line.words.retention.empty()) {
    auto policy = store::parse_retention(line.words.retention);
    if (policy.ok()) arguments.retention = std::move(*policy);
  }
  if (!line.words.every.empty()) arguments.every_ns = parse_span_ns(line.words.every);
  if (!line.words.metrics_port.empty()) arguments.metrics_port = port_of(line.words.metrics_port);
  if (!line.words.since.empty()) {
    arguments.since = parse_moment(line.words.since);
    if (!arguments.since) arguments.since_ns = parse_span_ns(line.words.since);
  }
  if (!line.words.thin.empty()) arguments.thin_ns = parse_span_ns(line.words.thin);
  if (line.words.files == "volatile") arguments.files = engine::FilePolicy::kVolatile;
  if (!line.words.pid.empty()) arguments.pid = std::stoi(line.words.pid);
  const size_t epochs = epochs_among_words(line);
  if (line.words.positional.size() < epochs) {
    return mistake("which epoch?", "give its number, newest, or --at or --back");
  }
  if (!line.words.positional.empty()) {
    std::string wrong = take_epochs(line, epochs);
    if (!wrong.empty()) return mistake(wrong, "`perdure log` lists the epochs");
  }
  Parsed parsed;
  parsed.arguments = std::move(arguments);
  return parsed;
}

Parsed explain(const CLI::App& app, const CLI::ParseError& error, const std::string& first_word,
               bool has_command) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    Parsed parsed;
    std::ostringstream out, unused;
    (void)app.exit(error, out, unused);
    parsed.output = out.str();
    return parsed;
  }
  if (!first_word.empty() && first_word.front() != '-' && app.get_subcommands().empty()) {
    return mistake("'" + first_word + "' is no verb", "`perdure --help` lists the verbs");
  }
  if (first_word.empty()) return mistake("no verb was given", "`perdure --help` lists the verbs");
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  auto subs = app.get_subcommands();
  std::string verb = subs.empty() ? "" : subs.front()->get_name() + " ";
  std::string remedy = "`perdure " + verb + "--help` shows how";
  if (verb == "run " && !has_command)
    remedy = "put -- before the command: perdure run -- COMMAND...";
  return mistake(what, remedy);
}

}  // namespace

Parsed parse_arguments(const std::vector<std::string>& words) {
  CLI::App app(kProgramHelp, "perdure");
  app.footer(kProgramFooter);
  auto formatter = std::make_shared<HelpFormatter>();
  formatter->label("TEXT", "");
  formatter->label("REQUIRED", "");
  app.formatter(std::move(formatter));
  app.set_version_flag("--version", std::string("perdure ") + PERDURE_VERSION);
  app.require_subcommand(1);
  Line line;
  const std::string first_word = words.empty() ? "" : words.front();
  add_verbs(app, line, first_word);

  // Whatever follows -- is the command's, also where it looks like ours.
  auto dashes = std::find(words.begin(), words.end(), "--");
  std::vector<std::string> ours(words.begin(), dashes), command;
  bool has_command = dashes != words.end();
  if (has_command) command.assign(dashes + 1, words.end());
  std::reverse(ours.begin(), ours.end());
  try {
    app.parse(ours);
  } catch (const CLI::ParseError& error) {
    return explain(app, error, first_word, has_command);
  }
  return finish(line, std::move(command));
}

}  // namespace perdure::cli
