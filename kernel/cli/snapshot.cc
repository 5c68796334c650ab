// `heptane snapshot`: asks the running server for one and waits for it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/base/clock.h"
#include "kernel/cli/command.h"
#include "kernel/cli/http_client.h"
#include "kernel/cli/progress.h"
#include "kernel/net/http/json.h"

namespace heptane::cli {

namespace {

struct SnapshotArguments {
  std::string server = kDefaultServer;
  int seconds = 600;
  bool json = false;
};

struct Status {
  int64_t request = 0;
  int64_t answered = 0;
  bool last_failed = false;
  int64_t bytes = 0;
  std::string position;
};

Result<Status> status_of(Result<std::string> answer) {
  if (!answer) return std::move(answer.error());
  auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return std::move(document.error());
  http::JsonFields fields((*document)->root(), "");
  Status status;
  status.request = fields.integer_or("request", 0, 0, INT64_MAX);
  status.answered = fields.integer("answered", 0, INT64_MAX);
  const std::optional<http::JsonValue> last_failed = fields.value("last_failed");
  status.last_failed = last_failed && last_failed->type() == http::JsonType::boolean && last_failed->boolean();
  (void)fields.integer("taken", 0, INT64_MAX);
  (void)fields.integer("failed", 0, INT64_MAX);
  status.bytes = fields.integer("bytes", 0, INT64_MAX);
  status.position = fields.text("position");
  HEPTANE_TRY(fields.finish());
  return status;
}

Result<Status> take(const SnapshotArguments& arguments) {
  constexpr useconds_t kLookAgainUs = 20'000;
  HttpClient client(arguments.server);
  Result<Status> asked = status_of(client.call("POST", "/api/v1/snapshot"));
  if (!asked) return asked;
  SystemClock clock;
  const int64_t end_ns = clock.monotonic_ns() + int64_t{arguments.seconds} * 1'000'000'000;
  for (;;) {
    Result<Status> now = status_of(client.call("GET", "/api/v1/snapshot"));
    if (!now) return now;
    if (now->answered >= asked->request && !now->last_failed) return now;
    if (now->answered >= asked->request)
      return Error{Errc::refused, "the snapshot was not taken; the server's log says why"};
    if (clock.monotonic_ns() > end_ns) return Error{Errc::deadline, "the snapshot is not there yet; it goes on"};
    ::usleep(kLookAgainUs);
  }
}

}  // namespace

void add_snapshot(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<SnapshotArguments>();
  CLI::App* command = app.add_subcommand("snapshot", "Have the server write its state to disk, and wait for it.");
  command->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
  command->add_option("--seconds", arguments->seconds, "How long to wait")->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON object");
  command->callback([arguments, &context] {
    const Result<Status> taken = take(*arguments);
    context.exit_code = taken ? kOk : kFailed;
    if (!taken)
      std::cerr << "heptane: " << taken.error().message << "\n";
    else if (arguments->json)
      std::cout << R"({"position":")" << taken->position << R"(","bytes":)" << taken->bytes << "}\n";
    else
      std::cout << "Snapshot of " << taken->position << ", " << bytes_text(static_cast<uint64_t>(taken->bytes))
                << ".\n";
  });
}

}  // namespace heptane::cli
