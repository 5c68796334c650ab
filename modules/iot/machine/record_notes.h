// What the entry of a command says of its messages' records beside the command: the machine's logged result, and all that the
// rendering of a view knows of what was declared. A form stays for ever. Any thread.
//
// Of a kPublish: form 0, all are in iot.messages; 1, a PublishStatus for each: those that are `kept` are in iot.messages; 16,
// sets of views and for each message what became of it (0: nothing; 1: in iot.messages; 2 + n: in the views of set n), numbers as
// varints. Of a will, which stands in the note alone: 2, the message, in iot.messages; 17, the views and the message. (3 is a note of events: events.h.)
#pragma once

#include <vector>

#include "kernel/base/bytes.h"
#include "modules/iot/machine/api.h"
#include "modules/iot/machine/declared_streams.h"

namespace heptane::iot {

// `targets`: of each message; empty: no stream is declared.
std::vector<std::byte> note_of(const std::vector<PublishStatus>& statuses, const std::vector<Targets>& targets);
// At most so long.
size_t note_bytes_max(size_t messages, const std::vector<Targets>& targets);
void append_note_of_will(ByteWriter& out, const Targets& targets, Bytes message);

// Reads one that goes with a kPublish.
class PublishNote {
 public:
  explicit PublishNote(Bytes note);
  // The message became a record of this view.
  bool has(size_t message, uint16_t view) const;

 private:
  void read_sets(ByteReader& in);

  bool all_ = false;  // of iot.messages
  std::vector<std::vector<uint16_t>> sets_;
  std::vector<uint64_t> placed_;  // as in form 3
};

// Reads one that goes with a will.
struct WillNote {
  std::vector<uint16_t> views;
  MessageView message;
};
std::optional<WillNote> read_note_of_will(Bytes note);

}  // namespace heptane::iot
