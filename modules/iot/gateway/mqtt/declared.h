// The streams over topic filters, as a gateway needs them: which messages at QoS 0 are for the log, and the way of those that
// the configuration declares to the machine. Whoever has an answer of the machine with all streams in it gives it to take():
// answers come in the log's order, so the last one is what holds. The I/O thread's.
//
// What the configuration says is told at the start and at each change; the machine answers `unchanged` where it knows that.
// A stream that the configuration does not name any more stays: to drop it is to delete its records, which somebody must say.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/domain/topics/topic_tree.h"
#include "modules/iot/machine/stream_api.h"

namespace heptane::iot::mqtt {

class Declared {
 public:
  static constexpr RequestId kRequests = 1ULL << 41;  // its own are from here on

  explicit Declared(const std::function<void(const std::string&)>& report) : report_(report) {}

  // A message at QoS 0 with this topic is a record: of relaxed streams alone, or of another one too.
  enum class Capture : uint8_t { none, relaxed, strict };
  Capture capture_of(std::string_view topic) const;
  // The stream, where clients of other protocols may append to it; until the next change.
  const StreamDeclaration* taking(std::string_view stream) const;
  bool is_declared(std::string_view stream) const { return names_.find(stream) != names_.end(); }
  // All streams that are declared.
  void take(Bytes list);
  // What the configuration declares.
  void want(std::vector<StreamDeclaration> streams);

  void attach(net::SessionContext& context);
  void detach() { context_ = nullptr; }
  bool on_reply(RequestId request, const Reply& reply);
  bool on_timer(net::SessionTimerId timer);

 private:
  void send();
  void again_later();

  const std::function<void(const std::string&)>& report_;
  net::SessionContext* context_ = nullptr;
  TopicTree<Capture> qos0_;
  std::map<std::string, StreamDeclaration, std::less<>> taking_;
  std::set<std::string, std::less<>> names_;
  std::deque<StreamDeclaration> wanted_;
  struct UnderWay {
    uint64_t round = 0;
    StreamDeclaration stream;
  };
  std::map<RequestId, UnderWay> under_way_;
  uint64_t round_ = 0;  // of the configuration: what an older one wants is not asked for again
  RequestId last_request_ = kRequests;
  net::SessionTimerId timer_ = 0;  // 0: not armed
};

}  // namespace heptane::iot::mqtt
