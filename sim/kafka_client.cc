#include "sim/kafka_client.h"

#include <algorithm>

namespace heptane::sim {

namespace {

constexpr int64_t kAnswerLimitNs = 40'000'000'000;  // beyond the server's own deadline for a request
constexpr int64_t kReconnectMaxNs = 20'000'000;
constexpr size_t kAnswerBytesMax = size_t{32} << 20;

}  // namespace

std::string topic_name(size_t topic) { return "topic-" + std::to_string(topic); }

void SimClient::turn() {
  if (left_ && world_.random.one_in(40)) left_.reset();
  if (!awake()) return;
  if (!stream_) {
    if (may_connect()) connect();
    return;
  }
  read();
  if (!stream_) return;
  go_on();
  if (stream_) flush();
  if (stream_ && !waiting_.empty() && world_.clock.monotonic_ns() - waiting_.front().since_ns > kAnswerLimitNs)
    reconnect_later("no answer");
}

void SimClient::connect() {
  Result<std::unique_ptr<SimStream>> stream = world_.net.connect(port());
  if (!stream) return reconnect_later("nobody listens");
  stream_ = std::move(*stream);
  output_.clear();
  input_.clear();
  waiting_.clear();
  half_close_wanted_ = false;
  half_closed_ = false;
  on_connected();
}

void SimClient::reconnect_later(const char* why) {
  world_.trace(state() + ": " + why);
  stream_.reset();
  connect_after_ns_ = world_.clock.monotonic_ns() + static_cast<int64_t>(world_.random.below(kReconnectMaxNs));
}

ByteWriter& SimClient::begin_request(int16_t api, int16_t version) {
  request_.clear();
  request_.be<int32_t>(0);  // the length
  request_.be<int16_t>(api);
  request_.be<int16_t>(version);
  request_.be<int32_t>(++correlation_);
  request_.be<int16_t>(3);
  request_.append("sim");
  waiting_.push_back({api, correlation_, world_.clock.monotonic_ns()});
  return request_;
}

void SimClient::end_request() {
  store_be<int32_t>(request_.at(0), static_cast<int32_t>(request_.size() - 4));
  write_raw(request_.view());
}

void SimClient::flush() {
  while (!output_.empty()) {
    const Bytes piece(output_);
    const net::IoResult result = stream_->write_some({&piece, 1});
    if (result.status == net::IoStatus::would_block) return;
    if (result.status != net::IoStatus::ok) return reconnect_later("reset while writing");
    output_.erase(output_.begin(), output_.begin() + static_cast<std::ptrdiff_t>(result.bytes));
    if (world_.random.one_in(4)) return;
  }
  if (half_close_wanted_ && !half_closed_) {
    half_closed_ = true;
    stream_->shutdown_write();
  }
}

void SimClient::read() {
  std::byte chunk[4096];
  for (size_t left = read_limit_; left > 0;) {
    const net::IoResult result = stream_->read_some(MutableBytes(chunk).first(std::min(left, sizeof chunk)));
    if (result.status == net::IoStatus::would_block) return;
    if (result.status != net::IoStatus::ok) return reconnect_later("closed by the server");
    left -= result.bytes;
    if (!expects_answers_) continue;
    input_.insert(input_.end(), chunk, chunk + result.bytes);
    if (!take_frames()) return;
  }
}

bool SimClient::take_frames() {
  size_t at = 0;
  while (stream_ && input_.size() - at >= 4) {
    const auto length = load_be<uint32_t>(input_.data() + at);
    if (length > kAnswerBytesMax || waiting_.empty()) {
      world_.checker.fail(state() + " was sent an answer of " + std::to_string(length) +
                          " bytes that it did not ask for");
      return false;
    }
    if (input_.size() - at - 4 < length) break;
    ByteReader body(Bytes(input_).subspan(at + 4, length));
    at += 4 + size_t{length};
    const Waiting asked = waiting_.front();
    waiting_.pop_front();
    const bool right = body.be<int32_t>() == asked.correlation && on_answer(asked.api, body);
    if (!right || body.failed()) {
      world_.checker.fail(state() + " cannot read an answer to API " + std::to_string(asked.api));
      return false;
    }
  }
  if (!stream_) return false;
  input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(at));
  return true;
}

}  // namespace heptane::sim
