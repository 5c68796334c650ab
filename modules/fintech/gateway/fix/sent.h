// What a session has said, as its stream has it, and as it goes to the peer. A record's value is a message's fields from MsgType(35) on,
// MsgSeqNum(34) and SendingTime(52) behind it; the form is machine/exchange/fix_sessions.h's. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "modules/fintech/domain/fix/outbound.h"

namespace heptane::fintech::fixgate {

// Views of a record.
struct Spoken {
  uint64_t number = 0;
  fix::Sent sent;
  bool administrative() const { return fix::is_administrative(sent.draft.type); }
};
// None: something else.
std::optional<Spoken> read_spoken(std::string_view record);

// Consecutive messages of a session, as fix::Resend sends them again.
class SpokenRange final : public fix::MessageStore {
 public:
  // Both behind what is there.
  void add(const Spoken& spoken) { spoken_.push_back(spoken); }
  // Numbers below have no records: gaps.
  void begin_at(uint64_t number) { begin_ = number; }

  uint64_t next_number() const override { return spoken_.empty() ? begin_ : spoken_.back().number + 1; }
  void append(const fix::Draft&, bool, int64_t) override {}
  uint64_t first_kept(uint64_t from) const override;
  fix::Sent read(uint64_t number) const override;
  void reset() override {}

 private:
  uint64_t begin_ = 1;
  std::vector<Spoken> spoken_;
};

// As it is sent first.
void encode_spoken(const fix::Peers& peers, const Spoken& spoken, std::string& out);

}  // namespace heptane::fintech::fixgate
