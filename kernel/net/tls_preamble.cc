#include "kernel/net/tls_preamble.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/net/tls_stream.h"

namespace heptane::net {

namespace {

// A stream some bytes of which were looked at already: they are read again first.
class Replay final : public Stream {
 public:
  explicit Replay(std::unique_ptr<Stream> below) : below_(std::move(below)) {}

  Bytes seen() const { return Bytes(seen_).first(size_); }
  // More of them, until there are `bytes`.
  IoStatus see(size_t bytes) {
    HEPTANE_ASSERT(bytes <= seen_.size(), "a preamble asks for more than its limit");
    while (size_ < bytes) {
      const IoResult result = below_->read_some(MutableBytes(seen_).subspan(size_, bytes - size_));
      if (result.status != IoStatus::ok) return result.status;
      size_ += result.bytes;
    }
    return IoStatus::ok;
  }
  void drop(size_t bytes) {
    std::memmove(seen_.data(), seen_.data() + bytes, size_ - bytes);
    size_ -= bytes;
  }

  void set_events(StreamEvents* events) override { below_->set_events(events); }
  IoResult read_some(MutableBytes into) override {
    const size_t again = std::min(size_, into.size());
    if (again == 0) return below_->read_some(into);
    std::memcpy(into.data(), seen_.data(), again);
    drop(again);
    if (again == into.size()) return {IoStatus::ok, again};
    const IoResult more = below_->read_some(into.subspan(again));  // an end that comes with it is told by the next call
    return {IoStatus::ok, again + (more.status == IoStatus::ok ? more.bytes : 0)};
  }
  IoResult write_some(std::span<const Bytes> pieces) override { return below_->write_some(pieces); }
  bool flushed() const override { return below_->flushed(); }
  void want_read() override { below_->want_read(); }
  void want_write() override { below_->want_write(); }
  void shutdown_write() override { below_->shutdown_write(); }
  const Address& local() const override { return below_->local(); }
  const Address& remote() const override { return below_->remote(); }
  std::optional<uint32_t> peer_uid() const override { return below_->peer_uid(); }

 private:
  std::unique_ptr<Stream> below_;
  std::array<std::byte, TlsPreamble::kBytesMax> seen_{};
  size_t size_ = 0;
};

class PreambleStream final : public Stream {
 public:
  PreambleStream(std::unique_ptr<Stream> below, const TlsPreamble& preamble, std::shared_ptr<TlsContext> context,
                 std::span<const std::string_view> alpn)
      : preamble_(preamble), context_(std::move(context)), alpn_(alpn) {
    auto replay = std::make_unique<Replay>(std::move(below));
    replay_ = replay.get();
    top_ = std::move(replay);
  }

  void set_events(StreamEvents* events) override {
    events_ = events;
    top_->set_events(events);
  }
  IoStatus handshake() override {
    while (!decided_ && !refused_) {
      const IoStatus seen = replay_->see(wanted_);
      if (seen != IoStatus::ok) return seen;
      if (!follow(preamble_.look(replay_->seen()))) return IoStatus::reset;
    }
    return refused_ ? IoStatus::failed : top_->handshake();
  }
  IoResult read_some(MutableBytes into) override { return top_->read_some(into); }
  IoResult write_some(std::span<const Bytes> pieces) override { return top_->write_some(pieces); }
  bool flushed() const override { return top_->flushed(); }
  void want_read() override { top_->want_read(); }
  void want_write() override { top_->want_write(); }
  void shutdown_write() override { top_->shutdown_write(); }
  const Address& local() const override { return top_->local(); }
  const Address& remote() const override { return top_->remote(); }
  const TlsFacts* tls() const override { return top_->tls(); }
  std::string_view failure() const override { return refused_ ? "TLS was not asked for" : top_->failure(); }
  std::optional<uint32_t> peer_uid() const override { return top_->peer_uid(); }

 private:
  using Next = TlsPreamble::Verdict::Next;

  // False: the answer cannot be given.
  bool follow(const TlsPreamble::Verdict& verdict) {
    if (verdict.next == Next::more) {
      HEPTANE_ASSERT(verdict.bytes > replay_->seen().size(), "a preamble that wants nothing more cannot wait");
      wanted_ = verdict.bytes;
      return true;
    }
    const bool asks_on = verdict.next == Next::answer && std::exchange(answered_, true);
    if (asks_on) return refused_ = true;
    if (!say(verdict.answer)) return false;
    if (verdict.next == Next::answer || verdict.next == Next::encrypt) replay_->drop(verdict.bytes);
    if (verdict.next == Next::answer) wanted_ = 1;
    if (verdict.next == Next::encrypt) encrypt();
    decided_ = verdict.next == Next::encrypt || verdict.next == Next::plain;
    refused_ = verdict.next == Next::refuse;
    return true;
  }
  // Nothing was written to the stream yet: it takes a few bytes.
  bool say(std::string_view answer) {
    while (!answer.empty()) {
      const Bytes piece = as_bytes(answer);
      const IoResult result = top_->write_some({&piece, 1});
      if (result.status != IoStatus::ok) return false;
      answer.remove_prefix(result.bytes);
    }
    return true;
  }
  void encrypt() {
    top_ = make_tls_server_stream(std::move(top_), std::move(context_), alpn_);
    top_->set_events(events_);
  }

  const TlsPreamble& preamble_;
  std::shared_ptr<TlsContext> context_;
  std::span<const std::string_view> alpn_;
  StreamEvents* events_ = nullptr;
  std::unique_ptr<Stream> top_;
  Replay* replay_ = nullptr;  // top_, or what is below it
  size_t wanted_ = 1;
  bool answered_ = false;  // a question that did not end it
  bool decided_ = false;
  bool refused_ = false;
};

}  // namespace

std::unique_ptr<Stream> make_preamble_stream(std::unique_ptr<Stream> below, const TlsPreamble& preamble,
                                             std::shared_ptr<TlsContext> context,
                                             std::span<const std::string_view> alpn) {
  return std::make_unique<PreambleStream>(std::move(below), preamble, std::move(context), alpn);
}

}  // namespace heptane::net
