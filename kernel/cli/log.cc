// `heptane log verify | compare | dump | repair`: work on the files of a data directory.
#include "kernel/log/log_tool.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/auth/api.h"
#include "kernel/cli/command.h"
#include "kernel/server/blob_check.h"
#include "kernel/server/history_check.h"
#include "kernel/server/past_state.h"
#include "kernel/snapshot/forked_child.h"
#include "kernel/snapshot/snapshot_store.h"

namespace heptane::cli {

namespace {

struct LogArguments {
  log::LogTarget target{"heptane-data", 0};
  log::DumpOptions dump;
  log::RepairOptions repair;
  bool json = false;
  bool state = false;
  pid_t child_of = 0;
};

int failed(const Error& error) {
  std::cerr << "heptane: " << error.message << "\n";
  return error.code == Errc::not_found || error.code == Errc::exists ? kRefused : kFailed;
}

constexpr const char* kNothingToCompare = "there are no two snapshots to compare\n";
constexpr int kLowestPriority = 19;

constexpr const char* verdict(bool sound) { return sound ? "sound" : "NOT sound"; }

void print_comparison(const server::SnapshotComparison& compared, std::ostream& out) {
  out << "replay from the snapshot at " << position_text(0, compared.older) << " leads to the one at "
      << position_text(0, compared.newer) << ": state " << to_hex(compared.hash) << "\n";
}

// Also that the newest snapshot is what replay from the one before it makes.
int verify_state(const LogArguments& arguments, MakeModules make_modules) {
  SystemDisk disk;
  const auto compared = server::compare_snapshots(disk, arguments.target.data_directory, make_modules());
  if (!compared) return failed(compared.error());
  std::ostream& out = arguments.json ? std::cerr : std::cout;
  if (!*compared)
    out << kNothingToCompare;
  else
    print_comparison(**compared, out);
  return kOk;
}

// That alone: 0 the same, 1 they differ, 3 nothing was compared.
int compare(const LogArguments& arguments, MakeModules make_modules) {
  if (arguments.child_of != 0 && !snapshot::become_background(arguments.child_of, kLowestPriority)) return kRefused;
  SystemDisk disk;
  const auto compared = server::compare_snapshots(disk, arguments.target.data_directory, make_modules());
  if (!compared) {
    std::cerr << "heptane: " << compared.error().message << "\n";
    return compared.error().code == Errc::corrupt ? kFailed : kRefused;
  }
  if (!*compared) {
    std::cerr << kNothingToCompare;
    return kRefused;
  }
  if (arguments.json)
    std::cout << R"({"older":")" << position_text(0, (*compared)->older) << R"(","newer":")"
              << position_text(0, (*compared)->newer) << R"(","state_hash":")" << to_hex((*compared)->hash) << "\"}\n";
  else
    print_comparison(**compared, std::cout);
  return kOk;
}

void print_json(const log::VerifyReport& report, const server::HistoryReport& history) {
  std::cout << "{\"sound\": " << (report.sound() && history.sound() ? "true" : "false")
            << ", \"segments\": " << report.segments << ", \"batches\": " << report.batches
            << ", \"entries\": " << report.entries << ", \"bytes\": " << report.bytes
            << ", \"first_sequence\": " << report.first_sequence << ", \"last_sequence\": " << report.last_sequence
            << ", \"epoch\": " << report.epoch << ", \"archive_segments\": " << history.archive_segments
            << ", \"archive_bytes\": " << history.archive_bytes << ", \"gaps\": " << history.gaps
            << ", \"snapshots\": " << history.snapshots << ", \"snapshot_bytes\": " << history.snapshot_bytes
            << ", \"problems\": " << report.problems + history.problems << ", \"torn_bytes\": " << report.torn_bytes
            << ", \"start_would_refuse\": " << (report.start_would_refuse ? "true" : "false") << "}\n";
}

// Every blob and every row file that the state names. Of a log that is not sound there is no state to ask.
int verify_blobs(const LogArguments& arguments, MakeModules make_modules) {
  SystemDisk disk;
  std::ostream& out = arguments.json ? std::cerr : std::cout;
  const auto report = server::check_blobs(disk, arguments.target.data_directory, make_modules(), out);
  if (!report) {
    const Result<std::vector<std::string>> files = disk.list(arguments.target.data_directory + "/blobs");
    if ((!files || files->empty()) && report.error().code != Errc::refused) return kOk;
    std::cerr << "heptane: blobs and row files were not checked: " << report.error().message << "\n";
    return kFailed;
  }
  if (report->row_files != 0)
    out << verdict(report->row_problems == 0) << ": " << report->row_files << " row files, " << report->row_problems
        << " damaged\n";
  if (report->blobs != 0)
    out << verdict(report->problems == 0) << ": " << report->blobs << " blobs, " << report->bytes << " bytes, "
        << report->problems << " missing or damaged\n";
  return report->problems + report->row_problems == 0 ? kOk : kFailed;
}

void print_text(const log::VerifyReport& report, const server::HistoryReport& history) {
  std::cout << verdict(report.sound()) << ": " << report.batches << " batches, " << report.entries << " entries, "
            << report.bytes << " bytes in " << report.segments << " segments, sequences " << report.first_sequence
            << " to " << report.last_sequence << ", epoch " << report.epoch << "\n"
            << verdict(history.sound()) << ": " << history.archive_segments << " archive segments, "
            << history.archive_bytes << " bytes, " << history.gaps << " gaps; " << history.snapshots << " snapshots, "
            << history.snapshot_bytes << " bytes\n";
}

int verify(const LogArguments& arguments) {
  SystemDisk disk;
  std::ostream& lines = arguments.json ? std::cerr : std::cout;
  const Result<log::VerifyReport> report = log::verify_log(disk, arguments.target, lines);
  if (!report) return failed(report.error());
  const Result<server::HistoryReport> history = server::check_history(disk, arguments.target.data_directory, lines);
  if (!history) return failed(history.error());
  if (arguments.json)
    print_json(*report, *history);
  else
    print_text(*report, *history);
  return report->sound() && !report->start_would_refuse && history->sound() ? kOk : kFailed;
}

int dump(const LogArguments& arguments) {
  SystemDisk disk;
  log::DumpOptions options = arguments.dump;
  options.json = arguments.json;
  options.secret = [](const log::EntryView& entry) {
    return entry.header.is_command() && auth::holds_secrets(entry.header.machine, entry.header.type, entry.payload);
  };
  const Result<uint64_t> lines = log::dump_log(disk, arguments.target, options, std::cout);
  return lines ? kOk : failed(lines.error());
}

int repair(const LogArguments& arguments) {
  SystemDisk disk;
  const Result<log::RepairReport> report = log::repair_log(disk, arguments.target, arguments.repair);
  if (!report) return failed(report.error());
  std::cout << "Kept everything up to sequence " << report->last_kept << "; the log goes on at "
            << report->next_sequence << ". " << report->dropped_bytes << " bytes were dropped";
  // A snapshot that knows more than the log would be taken for proof that the log was cut short.
  const std::string home = arguments.target.data_directory + "/shard-0";
  snapshot::SnapshotStore snapshots(disk, {home + "/snapshots", home + "/quarantine"});
  const Result<std::vector<std::string>> set_aside = snapshots.quarantine_above(report->last_kept);
  if (!set_aside) return failed(set_aside.error());
  for (const std::string& path : *set_aside) std::cout << "\n  kept in " << path;
  for (const std::string& path : report->quarantined) std::cout << "\n  kept in " << path;
  std::cout << "\n";
  return kOk;
}

CLI::App* add_part(CLI::App& app, const std::string& name, const std::string& help, LogArguments& arguments) {
  CLI::App* part = app.add_subcommand(name, help);
  part->add_option("--data", arguments.target.data_directory, "Data directory")->capture_default_str();
  return part;
}

}  // namespace

void add_log(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<LogArguments>();
  CLI::App* command = app.add_subcommand("log", "Check, show or cut the log in a data directory.");
  command->require_subcommand(1);
  CLI::App* part = add_part(
      *command, "verify",
      "Read every byte of the log, of its archive and snapshots and of the blobs it names and check it; works beside a "
      "running server.",
      *arguments);
  part->add_flag("--json", arguments->json, "One JSON object");
  part->add_flag("--state", arguments->state, "Also replay from the older snapshot to the newer and compare");
  part->callback([arguments, &context] {
    context.exit_code = verify(*arguments);
    if (context.exit_code == kOk) context.exit_code = verify_blobs(*arguments, context.make_modules);
    if (context.exit_code == kOk && arguments->state)
      context.exit_code = verify_state(*arguments, context.make_modules);
  });
  part = add_part(*command, "compare",
                  "Replay from the older of the two newest snapshots to the newer and compare; works beside a running "
                  "server.",
                  *arguments);
  part->add_flag("--json", arguments->json, "One JSON object");
  part->add_option("--child-of", arguments->child_of, "In the background of this process, and ending with it")
      ->group("");
  part->callback([arguments, &context] { context.exit_code = compare(*arguments, context.make_modules); });
  part = add_part(*command, "dump", "One line per entry; works beside a running server.", *arguments);
  part->add_flag("--json", arguments->json, "One JSON object a line");
  part->add_flag("--payload", arguments->dump.payload, "Payloads as hexadecimal digits");
  part->add_option("--from", arguments->dump.from, "First sequence");
  part->add_option("--upto", arguments->dump.upto, "Last sequence");
  part->callback([arguments, &context] { context.exit_code = dump(*arguments); });
  part = add_part(*command, "repair", "Cut the log; what it drops is kept in quarantine/.", *arguments);
  part->add_option("--cut-at", arguments->repair.cut_at, "First sequence that is given up")->required();
  part->add_option("--jump", arguments->repair.jump, "The next sequence is the last one kept plus this")
      ->capture_default_str();
  part->callback([arguments, &context] { context.exit_code = repair(*arguments); });
}

}  // namespace heptane::cli
