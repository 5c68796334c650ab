// What the broker tells in the stream `iot.events` (a view, kernel/shard/views.h): what durable sessions lost, and what they
// subscribed to. Collected while a command is applied, noted beside it at its end.
//
// Invariant: what the sessions count as lost (KeptSessions::lost) is the sum of the gaps' counts. What one session loses for
// one reason within one command is one gap, so a command notes at most a gap for each session it reaches and each reason;
// before it reaches another it asks for room(), and goes on in a later command when there is none.
//
// Note: form u8, then for each event its kind u8 and: of a gap its reason u8, the session, count, first and last number as varints,
// the client (a group: `$share/NAME/FILTER`) as length u16 and bytes; of a subscription the session as varint, the client, how
// many filters and their places in the command, from 0, as varints. The machine's; rendering is pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/shard/views.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/kept_sessions.h"

namespace heptane::iot {

// Key = client identifier, value = a JSON object (README).
constexpr ViewId kEventsView{kBrokerMachineId, 2};
constexpr std::string_view kEventsStream = "iot.events";
constexpr int64_t kEventsRetentionMs = 7 * 24 * int64_t{3'600'000};
constexpr int64_t kEventsRetentionBytes = int64_t{1} << 30;

constexpr uint8_t kNoteOfEvents = 3;  // the first byte of such a note; others begin otherwise

class EventNote {
 public:
  static constexpr size_t kBytesMax = size_t{256} << 10;
  static constexpr size_t kMarginBytes = size_t{8} << 10;  // what is told without asking for room

  // `told`: else nothing is, and there is always room (logs from before there were events).
  void begin(bool told);
  bool told() const { return told_; }
  // The rest of what the command notes leaves so much.
  void limit(size_t bytes) { limit_ = bytes; }
  // For what another session may lose.
  bool room() const { return !told_ || bytes_ + kGapBytesMax <= limit_; }

  void lost(const KeptSession& session, const LostReference& what);
  void lost(const KeptSession& session, Loss reason, uint64_t first, uint64_t last, uint64_t count);
  // `taken`: places in the command, ascending.
  void subscribed(const KeptSession& session, std::vector<uint32_t> taken);

  uint32_t records() const;
  std::vector<std::byte> finish() const;

 private:
  static constexpr size_t kGapBytesMax = kClientLimitBytes + 48;
  struct Gap {
    uint64_t session = 0;
    Loss reason = Loss::drop_oldest;
    bool group = false;
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t count = 0;
    std::string client;
  };
  struct Subscribed {
    uint64_t session = 0;
    std::string client;
    std::vector<uint32_t> taken;
  };

  bool told_ = false;
  size_t limit_ = kBytesMax;
  size_t bytes_ = 0;
  std::vector<Gap> gaps_;  // in the order of their first losses
  std::map<std::pair<uint64_t, Loss>, size_t> known_;
  std::vector<Subscribed> subscribed_;
};

bool is_note_of_events(Bytes note);
// The machine's renderer of the view.
void render_events(const LoggedCommand& logged, RecordWriter& out);

}  // namespace heptane::iot
