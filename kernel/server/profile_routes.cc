#include "kernel/server/profile_routes.h"

#include <fmt/format.h>
#include <gperftools/profiler.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <memory>

#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/net/http/exchange.h"
#include "kernel/server/heap_samples.h"
#include "kernel/server/process_files.h"
#include "kernel/server/symbols.h"

namespace heptane::server {

namespace {

using http::HttpExchange;
using http::HttpResponse;
using http::Method;

constexpr int64_t kSecondsDefault = 30;
constexpr int64_t kSecondsMax = 60;  // below the listener's idle time-out
constexpr size_t kAddressesMax = 100'000;
constexpr size_t kNamesBytesMax = size_t{16} << 20;

// The profiler runs while this lives: it ends also when the client goes. The file has no name.
class CpuProfile {
 public:
  // Errc::exists: another one is under way; Errc::overloaded: the system has no room for it.
  static Result<std::shared_ptr<CpuProfile>> start() {
    if (under_way_.exchange(true))
      return Error{Errc::exists, "another profile is being taken: try again when it has ended", 0};
    const int file = ::memfd_create("heptane-profile", MFD_CLOEXEC);
    if (file >= 0 && ProfilerStart(fmt::format("/proc/self/fd/{}", file).c_str()) != 0)
      return std::shared_ptr<CpuProfile>(new CpuProfile(file));
    if (file >= 0) ::close(file);
    under_way_ = false;
    return Error{Errc::overloaded, "the system has no room for a profile: a file in memory or a timer", 0};
  }
  CpuProfile(const CpuProfile&) = delete;
  CpuProfile& operator=(const CpuProfile&) = delete;
  ~CpuProfile() {
    stop();
    ::close(file_);
  }

  // On a worker: it waits for the profiler's last samples and reads all of them.
  std::string take() {
    stop();
    return read_whole(file_);
  }

 private:
  explicit CpuProfile(int file) : file_(file) {}
  void stop() {
    if (!std::exchange(runs_, false)) return;
    ProfilerStop();
    under_way_ = false;
  }

  static inline std::atomic<bool> under_way_ = false;
  int file_;
  bool runs_ = true;
};

void respond_with_bytes(HttpExchange& exchange, std::string bytes) {
  exchange.respond({200, "application/octet-stream", std::move(bytes), {{"Cache-Control", "no-store"}}, {}});
}
HttpResponse text_response(std::string text) {
  return {200, "text/plain; charset=utf-8", std::move(text), {{"Cache-Control", "no-store"}}, {}};
}
void respond_with_text(HttpExchange& exchange, std::string text) { exchange.respond(text_response(std::move(text))); }

void profile(HttpExchange& exchange) {
  if (const auto known = admin::check_parameters(exchange.request(), {"seconds"}, {}); !known)
    return exchange.respond(admin::error_response(known.error()));
  const auto seconds = admin::integer_parameter(exchange.request(), "seconds", kSecondsDefault, 1, kSecondsMax);
  if (!seconds) return exchange.respond(admin::error_response(seconds.error()));
  Result<std::shared_ptr<CpuProfile>> running = CpuProfile::start();
  if (!running) return exchange.respond(admin::error_response(running.error()));
  exchange.hold(*seconds * 1'000'000'000, [profile = std::move(*running)](HttpExchange& waited) {
    const auto bytes = std::make_shared<std::string>();
    waited.work([profile, bytes] { *bytes = profile->take(); },
                [bytes](HttpExchange& worked) { respond_with_bytes(worked, std::move(*bytes)); });
  });
}

void heap(HttpExchange& exchange) {
  const auto text = std::make_shared<std::string>();
  exchange.work([text] { *text = heap_profile(); },
                [text](HttpExchange& worked) { respond_with_text(worked, std::move(*text)); });
}

void command_line(HttpExchange& exchange) {
  std::string text = read_whole("/proc/self/cmdline");
  std::replace(text.begin(), text.end(), '\0', '\n');
  respond_with_text(exchange, std::move(text));
}

void count_symbols(HttpExchange& exchange) {
  const auto count = std::make_shared<uint64_t>();
  exchange.work([count] { *count = symbols_known(); },
                [count](HttpExchange& worked) { respond_with_text(worked, fmt::format("num_symbols: {}\n", *count)); });
}

// `0x55d0+0x55e8`; with or without 0x.
Result<std::vector<uint64_t>> parse_addresses(std::string_view text) {
  std::vector<uint64_t> addresses;
  while (!text.empty()) {
    std::string_view one = text.substr(0, text.find('+'));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    while (!one.empty() && (one.back() == '\n' || one.back() == '\r')) one.remove_suffix(1);
    if (one.starts_with("0x")) one.remove_prefix(2);
    uint64_t address = 0;
    const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), address, 16);
    if (error != std::errc() || end != one.data() + one.size())
      return Error{Errc::invalid_argument, "addresses are hexadecimal numbers with + between them", 0};
    if (addresses.size() == kAddressesMax) return Error{Errc::too_large, "at most 100,000 addresses at once", 0};
    addresses.push_back(address);
  }
  return addresses;
}

// On a worker.
HttpResponse names_response(const std::vector<uint64_t>& addresses) {
  const Result<std::vector<std::string>> names = symbol_names(addresses, kNamesBytesMax);
  if (!names) return admin::error_response(names.error());
  std::string text;
  for (size_t i = 0; i < addresses.size(); ++i) text += fmt::format("{:#x}\t{}\n", addresses[i], (*names)[i]);
  return text_response(std::move(text));
}

void name_symbols(HttpExchange& exchange) {
  const auto addresses = parse_addresses(exchange.request().body);
  if (!addresses) return exchange.respond(admin::error_response(addresses.error()));
  const auto answer = std::make_shared<HttpResponse>();
  exchange.work([answer, wanted = *addresses] { *answer = names_response(wanted); },
                [answer](HttpExchange& worked) { worked.respond(std::move(*answer)); });
}

constexpr std::string_view kText = "text/plain";

http::RouteDoc text_doc(std::string_view summary, std::string_view text, std::string_view answer) {
  return {summary, text, {}, {}, {{200, answer, {{http::kTextSchema, kText}}}}};
}

}  // namespace

void add_profile_routes(http::HttpRouter& router) {
  router.add(Method::get, "/debug/pprof/profile", profile,
             {.doc = {"Where processor time goes",
                      "For google-pprof and go tool pprof. All threads, 100 samples a second of processor time.",
                      {{"seconds", "how long; 30 when absent", R"({"type":"integer","minimum":1,"maximum":60})"}},
                      {},
                      {{200, "a profile of gperftools' form", {{http::kTextSchema, "application/octet-stream"}}}}}});
  router.add(Method::get, "/debug/pprof/heap", heap,
             {.doc = text_doc(
                  "Where memory in use was asked for",
                  "For google-pprof and go tool pprof: operator new, one sample in 512 KiB. Mappings, as of machines' "
                  "tables, are not in it: see heptane_machine_memory_bytes.",
                  "a heap profile")});
  router.add(Method::get, "/debug/pprof/cmdline", command_line,
             {.doc = text_doc("The command line", "", "an argument a line")});
  router.add(Method::get, "/debug/pprof/symbol", count_symbols,
             {.doc = text_doc("How many symbols are known", "", "num_symbols: N; 0: the program was stripped")});
  http::RouteDoc names = text_doc("Names of addresses", "", "an address, a tab and its name a line");
  names.bodies = {{http::kTextSchema, kText}};
  router.add(Method::post, "/debug/pprof/symbol", name_symbols, {.any_content_type = true, .doc = std::move(names)});
}

}  // namespace heptane::server
