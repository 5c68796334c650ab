// Any bytes as a peer's stream into a session with the echo application behind it. The first byte says how: even as they are, odd with
// lines as messages, whose envelope is put right so that what lies behind it is reached. All that is answered must be whole messages of
// the dictionary with the numbers in their order; what was valid must read the same when it is read again.

#include <cstdint>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/test/fix_echo.h"
#include "modules/fintech/test/fix_text.h"

namespace {

using namespace heptane::fix;

constexpr int64_t kNow = 1'796'011'506'000'000'000;

// `next`: the number that what is sent for the first time has.
void check(std::string_view answers, uint64_t& next) {
  while (!answers.empty()) {
    const Frame frame = next_frame(answers);
    HEPTANE_ASSERT(frame.kind == Frame::Kind::whole && frame.begin == 0, "half an answer");
    Message message;
    HEPTANE_ASSERT(message.read(answers.substr(0, frame.size)) == nullptr, "a garbled answer");
    HEPTANE_ASSERT(!validate(message, {}), "an answer that is not valid");
    const auto number = message.number(kMsgSeqNum);
    if (message.type() == "A" && message.flag(kResetSeqNumFlag)) next = 1;
    if (message.flag(kPossDupFlag)) {
      HEPTANE_ASSERT(number >= 1 && number < next, "what was not sent is sent again");
    } else {
      HEPTANE_ASSERT(number == next, "a number out of order");
      ++next;
    }
    answers.remove_prefix(frame.size);
  }
}

// Everything that can be asked of a message.
void look_at(std::string_view bytes) {
  Message message;
  if (message.read(bytes) != nullptr) return;
  (void)validate(message, {false, false, false});
  // Once its shape is known the same must be said.
  const ValidationRules rules;
  Reader reader(rules);
  for (int i = 0; i < 2; ++i) {
    HEPTANE_ASSERT(reader.read(bytes) == nullptr, "it was read before");
    HEPTANE_ASSERT(reader.validate().has_value() == validate(message, {}).has_value(), "another answer");
    HEPTANE_ASSERT(reader.message().fields().size() == message.fields().size(), "other fields");
  }
  if (validate(message, {})) return;
  const ScopeRule& scope = scope_rule(scope_of(message.type()));
  for (const FieldView& field : message.fields()) {
    (void)decimal_of(message.value(field), 8);
    (void)timestamp_of(message.value(field));
    Entries entries(message.fields(), scope, field.tag);
    std::span<const FieldView> entry;
    uint64_t count = 0;
    while (entries.next(entry)) ++count;
    if (entries.scope() >= 0) HEPTANE_ASSERT(message.number(field.tag) == count, "a group of another size");
  }
}

void feed(test::EchoConnection& connection, std::string_view bytes, uint64_t& next) {
  connection.on_bytes(bytes, kNow);
  check(connection.out(), next);
  connection.out().clear();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool as_lines = input[0] % 2 != 0;
  input.remove_prefix(1);
  test::EchoVenue venue;
  test::EchoConnection connection(venue, kNow);
  const std::string head = "49=TW44|52=20261130-04:05:06|56=ISLD|";
  uint64_t next = 1;
  feed(connection, test::whole("35=A|34=1|" + head + "98=0|108=30|"), next);
  if (!as_lines) {
    look_at(input);
    for (; !input.empty(); input.remove_prefix(std::min<size_t>(input.size(), 777)))
      feed(connection, input.substr(0, 777), next);
    return 0;
  }
  while (!input.empty() && !connection.closed()) {
    const size_t end = std::min(input.find('\n'), input.size());
    const std::string line(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
    const size_t type = std::min(line.find('|'), line.size());
    const std::string message =
        test::whole("35=" + line.substr(0, type) + "|" + head + line.substr(std::min(type + 1, line.size())));
    look_at(message);
    feed(connection, message, next);
  }
  return 0;
}
