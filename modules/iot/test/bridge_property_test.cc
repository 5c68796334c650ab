// What a bridge carries outward, against naive models of the durable session here and of a remote broker, over dropped connections
// and refusals: nothing is lost but into dead letters, first arrivals are in order, QoS 2 arrives once, and the remote never has
// more unanswered than its Receive Maximum.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "modules/iot/domain/bridge/conversation.h"

namespace heptane::iot::bridge {
namespace {

using mqtt::Frame;
using mqtt::PacketId;
using mqtt::PacketType;
using mqtt::Reason;
using mqtt::Version;

constexpr int64_t kStepNs = 50'000'000;

template <class Write>
std::string bytes(const Write& write) {
  ByteWriter out;
  write(out);
  return std::string(as_text(out.view()));
}

std::string ack(PacketType type, PacketId id, Reason reason = Reason::success) {
  return bytes([&](ByteWriter& out) { mqtt::encode(type, mqtt::Ack{id, reason, {}}, Version::v5, out); });
}

template <class Take>
void each_frame(const std::string& text, const Take& take) {
  for (Bytes rest = as_bytes(text); !rest.empty();) {
    Frame frame;
    ASSERT_FALSE(mqtt::read_frame(rest, SIZE_MAX, frame));
    ASSERT_GT(frame.size, 0U);
    take(frame);
    rest = rest.subspan(frame.size);
  }
}

mqtt::Ack ack_of(const Frame& frame) {
  mqtt::Ack packet;
  EXPECT_FALSE(decode_ack(frame, Version::v5, packet));
  return packet;
}

// The durable session here: resends what is unacknowledged, in order, when it is opened.
class Here {
 public:
  void publish(uint64_t number, uint8_t qos) { queue_.push_back({number, qos}); }
  bool empty() const { return queue_.empty(); }

  std::string take(const std::string& text) {
    std::string out;
    each_frame(text, [&](const Frame& frame) { out += answer(frame); });
    return out + send();
  }
  void closed() {
    open_ = false;
    for (Item& item : queue_) {
      item.again = item.again || item.sent;
      item.sent = false;
    }
  }

  std::set<uint64_t> letters;

 private:
  struct Item {
    uint64_t number = 0;
    uint8_t qos = 0;
    bool sent = false;
    bool again = false;
    bool released = false;
  };
  static PacketId id_of(uint64_t number) { return static_cast<PacketId>(1 + number % 49'151); }

  Item* find(PacketId id) {
    const auto found =
        std::find_if(queue_.begin(), queue_.end(), [&](const Item& item) { return id_of(item.number) == id; });
    return found == queue_.end() ? nullptr : &*found;
  }
  void finish(PacketId id) {
    std::erase_if(queue_, [&](const Item& item) { return item.sent && id_of(item.number) == id; });
  }

  std::string answer(const Frame& frame) {
    switch (frame.type) {
      case PacketType::connect: {
        mqtt::Connect packet;
        mqtt::ConnectStage stage{};
        EXPECT_FALSE(decode_connect(frame, packet, stage));
        window_ = packet.properties.receive_maximum.value_or(65'535);
        open_ = true;
        return bytes([](ByteWriter& out) { mqtt::encode(mqtt::Connack{true, 0, {}}, Version::v5, out); });
      }
      case PacketType::subscribe:
        return bytes([](ByteWriter& out) {
          mqtt::encode(PacketType::suback, mqtt::FilterAck{65'535, {}, {2}}, Version::v5, out);
        });
      case PacketType::publish: {
        mqtt::Publish packet;
        EXPECT_FALSE(decode_publish(frame, Version::v5, packet));
        letters.insert(std::stoull(std::string(packet.payload)));
        return ack(PacketType::puback, packet.id);
      }
      case PacketType::puback: finish(ack_of(frame).id); return {};
      case PacketType::pubrec: {
        const mqtt::Ack packet = ack_of(frame);
        Item* item = find(packet.id);
        if (item == nullptr) return ack(PacketType::pubrel, packet.id, Reason::packet_id_not_found);
        if (static_cast<uint8_t>(packet.reason) >= 0x80) return finish(packet.id), std::string();
        item->released = true;
        return ack(PacketType::pubrel, packet.id);
      }
      case PacketType::pubcomp: finish(ack_of(frame).id); return {};
      default: return {};
    }
  }

  std::string send() {
    std::string out;
    if (!open_) return out;
    size_t sent = 0;
    for (Item& item : queue_) sent += item.sent ? 1 : 0;
    for (Item& item : queue_) {
      if (item.sent || sent >= window_) continue;
      item.sent = true;
      ++sent;
      if (item.released) {
        out += ack(PacketType::pubrel, id_of(item.number));
        continue;
      }
      const std::string payload = std::to_string(item.number);
      mqtt::Publish packet;
      packet.dup = item.again;
      packet.qos = item.qos;
      packet.id = id_of(item.number);
      packet.topic = "a/t";
      packet.payload = payload;
      out += bytes([&](ByteWriter& to) { mqtt::encode(packet, Version::v5, to); });
    }
    return out;
  }

  std::deque<Item> queue_;
  size_t window_ = 0;
  bool open_ = false;
};

// The remote broker, with a session that it keeps.
class There {
 public:
  There(std::mt19937& random, uint16_t window) : random_(random), window_(window) {}

  void take(const std::string& text) {
    each_frame(text, [&](const Frame& frame) { answer(frame); });
  }
  // Some of what it has to say, in its order.
  std::string say() {
    std::string out;
    for (size_t count = random_() % 4; count > 0 && !waiting_.empty(); --count) {
      out += waiting_.front().bytes;
      open_ -= waiting_.front().closes ? 1 : 0;
      waiting_.pop_front();
    }
    return out;
  }
  void dropped() {
    waiting_.clear();
    open_ = 0;
  }

  std::vector<uint64_t> got;
  uint32_t refusals = 0;  // of a thousand
  std::set<uint64_t> refused;

 private:
  struct Waiting {
    std::string bytes;
    bool closes = false;
  };

  void answer(const Frame& frame) {
    if (frame.type == PacketType::connect) {
      mqtt::Connack packet;
      packet.session_present = true;
      packet.properties.receive_maximum = window_;
      waiting_.push_back({bytes([&](ByteWriter& out) { mqtt::encode(packet, Version::v5, out); })});
    }
    if (frame.type == PacketType::pubrel) {
      ids_.erase(ack_of(frame).id);
      waiting_.push_back({ack(PacketType::pubcomp, ack_of(frame).id), open_ > 0});
    }
    if (frame.type == PacketType::publish) publish(frame);
  }

  void publish(const Frame& frame) {
    mqtt::Publish packet;
    ASSERT_FALSE(decode_publish(frame, Version::v5, packet));
    ASSERT_LE(++open_, window_) << "more than its Receive Maximum";
    const uint64_t number = std::stoull(std::string(packet.payload));
    const bool known = packet.qos == 2 && ids_.contains(packet.id);
    Reason reason = Reason::success;
    if (!known && random_() % 1'000 < refusals)
      reason = random_() % 2 == 0 ? Reason::quota_exceeded : Reason::not_authorised;
    if (reason != Reason::success) refused.insert(number);
    if (reason == Reason::success && !known) got.push_back(number);
    if (reason == Reason::success && packet.qos == 2) ids_.insert(packet.id);
    const bool closes = packet.qos == 1 || reason != Reason::success;
    waiting_.push_back({ack(packet.qos == 1 ? PacketType::puback : PacketType::pubrec, packet.id, reason), closes});
  }

  std::mt19937& random_;
  const uint16_t window_;
  size_t open_ = 0;
  std::deque<Waiting> waiting_;
  std::set<PacketId> ids_;
};

class Drive {
 public:
  explicit Drive(uint32_t seed) : random_(seed), there_(random_, static_cast<uint16_t>(1 + random_() % 20)) {
    terms_.name = "b";
    terms_.client_id = "c";
    terms_.via = "me";
    terms_.mappings = {{Direction::out, "#", "a/", "x/", 2}};
    if (seed % 3 == 0) terms_.messages_per_second = 100;
    there_.refusals = seed % 2 == 0 ? 30 : 0;
    refuses_ = there_.refusals > 0;
  }

  void run() {
    connect();
    for (int step = 0; step < 2'000 || (!here_.empty() && step < 100'000); ++step) {
      if (step < 1'000 && random_() % 3 == 0) {
        qos_.push_back(static_cast<uint8_t>(1 + random_() % 2));
        here_.publish(qos_.size() - 1, qos_.back());
      }
      if (step < 2'000 && random_() % 40 == 0) drop();
      turn();
      if (testing::Test::HasFatalFailure()) return;
    }
    check();
  }

 private:
  void connect() {
    talk_ = std::make_unique<Conversation>(terms_, memory_, Conversation::Kind::relay);
    talk_->start(now_ns_);
  }
  void drop() {
    here_.closed();
    there_.dropped();
    talk_->remote_gone(random_() % 2 == 0 ? Gone::closed : Gone::otherwise, "dropped", now_ns_);
    connect();
  }
  void turn() {
    now_ns_ += kStepNs;
    if (talk_->due_ns() <= now_ns_) talk_->pass_time(now_ns_);
    for (int round = 0; round < 3; ++round) {
      there_.take(talk_->take_remote());
      each_frame(there_.say(), [&](const Frame& frame) { talk_->from_remote(frame, now_ns_); });
      each_frame(here_.take(talk_->take_local()), [&](const Frame& frame) { talk_->from_local(frame, now_ns_); });
    }
    ASSERT_FALSE(talk_->ended()) << talk_->why();
  }

  void check() {
    ASSERT_TRUE(here_.empty()) << "it does not end";
    std::map<uint64_t, int> times;
    std::vector<uint64_t> firsts;
    for (const uint64_t number : there_.got)
      if (times[number]++ == 0) firsts.push_back(number);
    for (uint64_t number = 0; number < qos_.size(); ++number) {
      const bool buried = here_.letters.contains(number);
      EXPECT_TRUE(times[number] > 0 || buried) << number << " is lost";
      EXPECT_TRUE(qos_[number] == 1 || times[number] <= 1) << number << " is doubled";
    }
    // What was refused for a while comes behind what was on its way with it.
    std::erase_if(firsts, [&](uint64_t number) { return refuses_ && there_.refused.contains(number); });
    EXPECT_TRUE(std::is_sorted(firsts.begin(), firsts.end())) << "out of order";
  }

  std::mt19937 random_;
  Terms terms_;
  Memory memory_;
  Here here_;
  There there_;
  std::unique_ptr<Conversation> talk_;
  std::vector<uint8_t> qos_;  // of each message
  bool refuses_ = false;
  int64_t now_ns_ = 0;
};

TEST(BridgeProperty, NothingIsLostOverDropsAndRefusals) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Drive(seed).run();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace heptane::iot::bridge
