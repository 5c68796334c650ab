// Direct methods on their way (domain/devices/method.h): which thing was asked what, and what it answered. Nothing of it is in the log:
// a call is there as long as somebody waits for it, and is over with the server. An answer that comes later, or twice, is counted and
// dropped; one from another thing is no answer.
//
// Bounds: kOfThingMax calls of a thing, kMax of all, with kBytesMax of what is asked. The I/O thread's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/shard/messages.h"

namespace heptane::iot::mqtt {

class Broker;

class MethodCalls {
 public:
  static constexpr size_t kOfThingMax = 10;
  static constexpr size_t kMax = 1'000;
  static constexpr size_t kBytesMax = size_t{32} << 20;

  struct Answer {
    uint32_t status = 0;
    std::string payload;
  };
  struct Call {
    std::string id;  // nobody guesses it
    std::string thing;
    std::string method;
    std::string payload;
    std::function<void()> wake{};  // the thing listens now, or has answered; may be empty
    bool sent = false;
    std::optional<Answer> answer{};
  };
  using CallPtr = std::shared_ptr<Call>;

  explicit MethodCalls(Broker& broker) : broker_(broker) { table_->broker = &broker; }
  ~MethodCalls();
  MethodCalls(const MethodCalls&) = delete;
  MethodCalls& operator=(const MethodCalls&) = delete;

  // Over when the last who holds it lets it go, which may be when the broker is gone. Null: there are too many.
  CallPtr begin(std::string thing, std::string method, std::string payload);
  // The thing is connected and listens for this method.
  bool is_heard(const Call& call) const;
  // To the newest of the thing's connections that listens; there it waits for the window of QoS 1, not longer than `seconds`. False:
  // none does.
  bool send(Call& call, int64_t seconds);

  // A connection of the thing has a filter for methods; it is gone.
  void listens(std::string_view thing, SessionId session);
  void left(std::string_view thing, SessionId session);

  enum class Taken : uint8_t { taken, late, not_its };
  Taken take(std::string_view thing, std::string_view id, Answer answer);

 private:
  // What calls that are let go find, whether the broker is there or not.
  struct Table {
    std::map<std::string, Call*, std::less<>> by_id;
    std::map<std::string, size_t, std::less<>> of_thing;
    size_t bytes = 0;
    Broker* broker = nullptr;  // null: it is gone
  };
  static void forget(Table& table, const Call& call);

  Broker& broker_;
  std::shared_ptr<Table> table_ = std::make_shared<Table>();
  std::map<std::string, std::vector<SessionId>, std::less<>> listening_;  // of each thing, the newest last
};

}  // namespace heptane::iot::mqtt
