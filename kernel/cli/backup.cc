// `heptane backup DIR` and `heptane restore DIR`: on the files of a data directory, also beside its running server.
#include "kernel/backup/backup.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/cli/command.h"
#include "kernel/cli/progress.h"
#include "kernel/net/system_net.h"

namespace heptane::cli {

namespace {

struct BackupArguments {
  std::string data = "heptane-data";
  std::string backup;
  bool check_only = false;
  bool json = false;
};

int print(const char* what, const Result<backup::Manifest>& manifest, const BackupArguments& arguments) {
  if (!manifest) {
    std::cerr << "heptane: " << manifest.error().message << "\n";
    return manifest.error().code == Errc::corrupt ? kFailed : kRefused;
  }
  const std::string position = position_text(manifest->shard, manifest->last_sequence);
  if (arguments.json)
    std::cout << R"({"position":")" << position << R"(","log_id":")" << log_id_text(manifest->log_id) << R"(","files":)"
              << manifest->files.size() << R"(,"bytes":)" << manifest->bytes() << "}\n";
  else
    std::cout << what << " " << manifest->files.size() << " files, " << bytes_text(manifest->bytes()) << ", up to "
              << position << ".\n";
  return kOk;
}

int make(const BackupArguments& arguments) {
  net::raise_open_file_limit();  // it holds every file open until it is copied
  SystemDisk disk;
  Result<backup::Manifest> manifest = Error{};
  {
    ProgressBar bar("backup");
    manifest = backup::make_backup(disk, arguments.data, arguments.backup,
                                   [&bar](uint64_t done, uint64_t total) { bar.show(done, total); });
  }
  return print("Backed up", manifest, arguments);
}

int restore(const BackupArguments& arguments) {
  SystemDisk disk;
  Result<backup::Manifest> manifest = Error{};
  {
    ProgressBar bar(arguments.check_only ? "check" : "restore");
    const auto show = [&bar](uint64_t done, uint64_t total) { bar.show(done, total); };
    manifest = arguments.check_only ? backup::check_backup(disk, arguments.backup, show)
                                    : backup::restore_backup(disk, arguments.backup, arguments.data, show);
  }
  return print(arguments.check_only ? "Sound:" : "Restored", manifest, arguments);
}

}  // namespace

void add_backup(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<BackupArguments>();
  CLI::App* backup = app.add_subcommand(
      "backup", "Copy a data directory, its server running or not, as it would be found after a power cut now.");
  backup->add_option("DIR", arguments->backup, "New or empty directory for the backup")->required();
  backup->add_option("--data", arguments->data, "Data directory")->capture_default_str();
  backup->add_flag("--json", arguments->json, "One JSON object");
  backup->callback([arguments, &context] { context.exit_code = make(*arguments); });
  CLI::App* restore_app =
      app.add_subcommand("restore", "Check a backup, every byte of it, and make a data directory of it.");
  restore_app->add_option("DIR", arguments->backup, "The backup")->required();
  restore_app->add_option("--data", arguments->data, "New or empty data directory")->capture_default_str();
  restore_app->add_flag("--check", arguments->check_only, "Only check the backup");
  restore_app->add_flag("--json", arguments->json, "One JSON object");
  restore_app->callback([arguments, &context] { context.exit_code = restore(*arguments); });
}

}  // namespace heptane::cli
