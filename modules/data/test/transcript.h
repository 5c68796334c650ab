// Plays a transcript: a text file of what a client sends and sees, against a session with a FakeContext. Test support.
//
//   # comment                         a line that begins with a blank continues the one before
//   ! stream NAME PARTITIONS          the log holds this stream       ! delete NAME       another connection deletes it
//   ! keep NAME                       its records are kept for ever
//   ! option NAME VALUE               before the first other line
//   ! append NAME PARTITION RECORDS   another connection appends
//   ! refuse ERRC DETAIL              the next command is refused           ! repeat OFFSET  the next append is a repeat
//   ! fail-read ERRC                  the next read fails                   ! full N         N submissions find no room
//   ! hold | ! release                answers wait, or all come             ! wait MS        time passes
//   > Metadata v4 #7 {...}            a request with correlation id 7       > hex 0000 ...   raw bytes
//   < Metadata v4 #7 {...}            its answer                            < close WHY      the connection closes
//   < bytes TEXT                      a frame that answers no request
//   < nothing                         no answer yet                         = LINE           the next command that was logged
#pragma once

#include <string>
#include <vector>

namespace heptane::data::kafka::test {

struct TranscriptResult {
  std::vector<std::string> failures;
  std::string rewritten;  // the file with the answers that were seen
  std::string input;      // all bytes the client sent
};

TranscriptResult play(const std::string& text);

}  // namespace heptane::data::kafka::test
