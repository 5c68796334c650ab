// The command line of the power-cut layer. See README.md.
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "tools/powercut/tree.h"

namespace powercut {
namespace {

constexpr char kUsage[] =
    "usage: powercut prepare     --root DIR --state DIR [--fsync-persists-name]\n"
    "       powercut run         --root DIR --state DIR [--real-sync 0|1] -- COMMAND...\n"
    "       powercut materialise --state DIR --out DIR [--seed N] [--mode lose|keep|reorder|tear]\n"
    "                            [--entries prefix|any] [--at POSITION]\n"
    "       powercut check       --state DIR [--root DIR]   what the layer has not seen; exit 1 if anything\n"
    "       powercut position    --state DIR                journal position now, for --at\n"
    "       powercut dump        --state DIR                one line per record\n";

using Options = std::map<std::string, std::string>;

int usage(const std::string& problem) {
  fprintf(stderr, "powercut: %s\n%s", problem.c_str(), kUsage);
  return 2;
}

bool parse_number(const std::string& text, uint64_t* value) {
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return code == std::errc() && end == text.data() + text.size();
}

int prepare_command(const Options& options) {
  std::string error;
  if (prepare(options.at("--root"), options.at("--state"), options.contains("--fsync-persists-name"), &error)) return 0;
  return usage(error);
}

std::string library_path() {
  std::string self = std::filesystem::read_symlink("/proc/self/exe");
  return std::filesystem::path(self).parent_path() / "libpowercut.so";
}

int run_command(const Options& options, char** command) {
  if (command == nullptr || *command == nullptr) return usage("run wants `-- COMMAND`");
  std::string state = options.at("--state");
  if (!std::filesystem::exists(state + "/control")) {
    if (int status = prepare_command(options); status != 0) return status;
  }
  const char* before = getenv("LD_PRELOAD");
  std::string preload = library_path() + (before != nullptr ? std::string(":") + before : std::string());
  setenv("LD_PRELOAD", preload.c_str(), 1);
  setenv("POWERCUT_STATE", std::filesystem::canonical(state).c_str(), 1);
  if (options.contains("--real-sync")) setenv("POWERCUT_REAL_SYNC", options.at("--real-sync").c_str(), 1);
  execvp(*command, command);
  return usage(std::string("cannot run ") + *command + ": " + strerror(errno));
}

int materialise_command(const Options& options) {
  static const std::map<std::string, Mode> modes = {
      {"lose", Mode::kLose}, {"keep", Mode::kKeep}, {"reorder", Mode::kReorder}, {"tear", Mode::kTear}};
  Cut cut;
  uint64_t upto = ~uint64_t{0};
  if (options.contains("--mode")) {
    auto mode = modes.find(options.at("--mode"));
    if (mode == modes.end()) return usage("no mode " + options.at("--mode"));
    cut.mode = mode->second;
  }
  if (options.contains("--seed") && !parse_number(options.at("--seed"), &cut.seed))
    return usage("--seed wants a number");
  if (options.contains("--at") && !parse_number(options.at("--at"), &upto)) return usage("--at wants a number");
  if (options.contains("--entries")) cut.any_entries = options.at("--entries") == "any";
  Platter platter;
  std::string error;
  if (!platter.replay(options.at("--state"), upto, &error)) return usage(error);
  Platter::Counts counts = platter.counts();
  platter.cut(cut);
  if (!write_tree(*platter.root(), options.at("--out"), &error)) return usage(error);
  printf("{\"records\": %llu, \"strays\": %llu, \"pending_changes\": %llu, \"pending_entries\": %llu}\n",
         static_cast<unsigned long long>(counts.records), static_cast<unsigned long long>(counts.strays),
         static_cast<unsigned long long>(counts.pending_changes),
         static_cast<unsigned long long>(counts.pending_entries));
  return 0;
}

int check_command(const Options& options) {
  Journal journal;
  Platter platter;
  std::string error;
  if (!platter.replay(options.at("--state"), ~uint64_t{0}, &error)) return usage(error);
  journal.attach(options.at("--state").c_str());
  platter.cut({Mode::kKeep, 1, false});
  std::string root = options.contains("--root") ? options.at("--root") : journal.control()->root_path;
  std::vector<std::string> found = compare_tree(*platter.root(), root);
  if (uint64_t count = journal.control()->unsupported.load(); count != 0) {
    found.push_back("operations that the model cannot express: " + std::to_string(count));
  }
  if (uint64_t count = platter.counts().strays; count != 0) {
    found.push_back("files that came to be unseen: " + std::to_string(count));
  }
  for (const std::string& line : found) printf("%s\n", line.c_str());
  return found.empty() ? 0 : 1;
}

int position_command(const Options& options) {
  Journal journal;
  if (!journal.attach(options.at("--state").c_str())) return usage("no prepared state");
  printf("%llu\n", static_cast<unsigned long long>(journal.end()));
  return 0;
}

int dump_command(const Options& options) {
  Platter platter;
  std::string error;
  platter.on_record([](const Record& record, const std::string& name, const std::string& second) {
    static constexpr const char* kNames[] = {"pad",  "write",      "truncate",    "allocate", "zero",
                                             "sync", "sync_range", "sync_failed", "sync_all", "create",
                                             "link", "unlink",     "rename",      "exchange", "attributes"};
    printf("%llu %s inode=%llu a=%llu b=%llu c=%llu%s %s %s\n", static_cast<unsigned long long>(record.position),
           kNames[static_cast<int>(record.op)], static_cast<unsigned long long>(record.inode),
           static_cast<unsigned long long>(record.a), static_cast<unsigned long long>(record.b),
           static_cast<unsigned long long>(record.c), (record.flags & kAllZero) != 0 ? " zeroes" : "", name.c_str(),
           second.c_str());
  });
  return platter.replay(options.at("--state"), ~uint64_t{0}, &error) ? 0 : usage(error);
}

struct Command {
  const char* name;
  std::vector<std::string> required, optional;
};

const std::vector<Command> kCommands = {
    {"prepare", {"--root", "--state"}, {"--fsync-persists-name"}},
    {"run", {"--root", "--state"}, {"--real-sync", "--fsync-persists-name"}},
    {"materialise", {"--state", "--out"}, {"--seed", "--mode", "--entries", "--at"}},
    {"check", {"--state"}, {"--root"}},
    {"position", {"--state"}, {}},
    {"dump", {"--state"}, {}},
};

int dispatch(const std::string& name, const Options& options, char** rest) {
  if (name == "prepare") return prepare_command(options);
  if (name == "run") return run_command(options, rest);
  if (name == "materialise") return materialise_command(options);
  if (name == "check") return check_command(options);
  if (name == "position") return position_command(options);
  return dump_command(options);
}

bool contains(const std::vector<std::string>& list, const std::string& text) {
  for (const std::string& item : list) {
    if (item == text) return true;
  }
  return false;
}

int main_of(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--help") == 0) {
    fputs(kUsage, stdout);
    return 0;
  }
  const Command* command = nullptr;
  for (const Command& candidate : kCommands) {
    if (argc > 1 && strcmp(argv[1], candidate.name) == 0) command = &candidate;
  }
  if (command == nullptr) return usage(argc > 1 ? std::string("no command ") + argv[1] : "which command?");
  Options options;
  char** rest = nullptr;
  for (int i = 2; i < argc; ++i) {
    std::string option = argv[i];
    if (option == "--") {
      rest = argv + i + 1;
      break;
    }
    if (!contains(command->required, option) && !contains(command->optional, option))
      return usage("no option " + option);
    bool flag = option == "--fsync-persists-name";
    if (!flag && i + 1 >= argc) return usage(option + " wants a value");
    options[option] = flag ? "1" : argv[++i];
  }
  for (const std::string& option : command->required) {
    if (!options.contains(option)) return usage(option + " is missing");
  }
  return dispatch(command->name, options, rest);
}

}  // namespace
}  // namespace powercut

int main(int argc, char** argv) { return powercut::main_of(argc, argv); }
