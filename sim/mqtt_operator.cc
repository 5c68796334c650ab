#include "sim/mqtt_operator.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace heptane::sim {

namespace {

constexpr std::string_view kTaken = "app-in";  // the stream that publishes
constexpr uint32_t kNumbersMax = 60;
constexpr int64_t kAgainNs = 20'000'000;
constexpr size_t kHeadMax = 16 << 10;

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

// A number behind this text; nullopt: it is not there.
std::optional<size_t> number_behind(std::string_view head, std::string_view name) {
  const size_t at = head.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = head.substr(at + name.size());
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  size_t number = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

}  // namespace

SimMqttOperator::SimMqttOperator(ClientWorld& world, MqttWatch& watch, uint16_t port)
    : SimClient(world),
      watch_(watch),
      port_(port),
      number_(static_cast<uint32_t>(watch.publishers.size())),
      partitions_(static_cast<uint32_t>(1 + world.random.below(3))) {
  watch_.publishers.push_back({1, true, 0});
}

void SimMqttOperator::make_request(const std::string& method, const std::string& path, const std::string& body,
                                   const std::string& more) {
  request_ = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + more;
  request_ += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  appending_ = false;
}

void SimMqttOperator::declare(const std::string& name, const std::string& filter, uint32_t partitions, bool publish) {
  make_request("POST", "/api/v1/mqtt/streams",
               R"({"name":)" + quoted(name) + R"(,"filter":)" + quoted(filter) + R"(,"partitions":)" +
                   std::to_string(partitions) + R"(,"publish":)" + (publish ? "true" : "false") + "}");
}

void SimMqttOperator::append() {
  const SimMessage message = message_of({number_, next_}, true);
  make_request("POST", "/api/v1/streams/" + std::string(kTaken) + "/records",
               R"({"records":[{"key":)" + quoted(message.topic) + R"(,"value":)" + quoted(message.payload) + "}]}",
               "Idempotency-Key: app-" + std::to_string(next_) + "\r\n");
  appending_ = true;
}

// Streams over what durable sessions are subscribed to are changed, not dropped: their messages would be lost with them.
void SimMqttOperator::compose() {
  const uint64_t choice = step_++ == 0 ? 0 : 1 + world_.random.below(14);
  switch (choice) {
    case 0: return declare(std::string(kTaken), "app/#", 1, true);
    case 1: return declare("sim-all", "sim/#", partitions_, false);
    case 2: return declare("sim-some", world_.random.one_in(2) ? "sim/+/1" : "sim/0/#", 1, false);
    case 3: return declare("app-more", world_.random.one_in(2) ? "app/1" : "app/+", 1, false);
    case 4: return declare("tap-all", "tap/#", partitions_, false);
    case 5: return declare("tap-some", world_.random.one_in(2) ? "tap/+/0" : "tap/1/#", 1, false);
    case 6:
      return make_request(
          "DELETE", world_.random.one_in(2) ? "/api/v1/mqtt/streams/tap-all" : "/api/v1/mqtt/streams/tap-some", "");
    default:
      if (watch_.all_subscribed() && next_ <= kNumbersMax) append();
  }
}

void SimMqttOperator::go_on() {
  if (request_.empty() && !finishing_ && world_.random.one_in(6)) compose();
  if (request_.empty() || asked_ || world_.clock.monotonic_ns() < again_ns_) return;
  asked_ = true;
  write_raw(as_bytes(request_));
}

// False: the connection is gone.
bool SimMqttOperator::take_frames() {
  const std::string_view text = as_text(input_);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos && text.size() < kHeadMax) return true;
  std::string head(text.substr(0, end));
  std::transform(head.begin(), head.end(), head.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  const auto status = number_behind(head, "http/1.1 ");
  const auto length = number_behind(head, "\r\ncontent-length:");
  if (!status || !length || end == std::string_view::npos || !asked_) {
    world_.checker.fail(state() + " was sent what is no answer");
    return false;
  }
  const size_t whole = end + 4 + *length;
  if (text.size() < whole) return true;
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(whole));
  if (!take_answer(static_cast<int>(*status))) return false;
  if (head.find("\r\nconnection: close") == std::string::npos) return connected();
  reconnect_later("told that the connection closes");
  return false;
}

bool SimMqttOperator::take_answer(int status) {
  asked_ = false;
  if (status >= 500 || status == 408 || status == 429) {
    again_ns_ = world_.clock.monotonic_ns() + kAgainNs;
    return true;
  }
  const bool dropped = request_.starts_with("DELETE") && status == 404;
  if (status != 200 && status != 201 && !dropped && !world_.checker.lost_tail_allowed()) {
    world_.checker.fail(state() + " was answered " + std::to_string(status));
    return false;
  }
  if (appending_) {
    watch_.publishers[number_].acknowledged = next_++;
    ++watch_.appended;
  }
  request_.clear();
  return true;
}

}  // namespace heptane::sim
