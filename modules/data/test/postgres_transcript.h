// Plays a transcript of a PostgreSQL connection against a session with the scripted engine behind it. Lines:
//
//   # comment
//   ! answer STATEMENT                what the engine says to it, in lines that begin with a blank:
//       columns NAME:TYPE ...         (TYPE as sql::Type spells it; numeric(P,S))       parameters TYPE ...
//       row VALUE | VALUE ...         times N      at once N
//       fails|execute-fails|next-fails SQLSTATE POSITION MESSAGE
//   ! applied N   ! connections N     ! refuse-jobs on|off    ! hold    ! release    ! wait MS    ! stall   ! drain
//   ! auth on     ! readable STREAM   ! revoke     ! certificate NAME   ! option max_message_bytes|time_ms N
//   ! interrupts N   ! open-cursors N   ! open-connections N         are so many        ! cancel PROCESS SECRET   elsewhere
//   > startup NAME=VALUE ...          > ssl | gssenc          > cancel PROCESS SECRET        > version MAJOR MINOR NAME=VALUE ...
//   > sasl-initial MECHANISM TEXT     > sasl TEXT             > query TEXT ...      > terminate
//   > parse NAME OID,OID... QUERY     > bind PORTAL STATEMENT PARAMETER-FORMATS RESULT-FORMATS [VALUE | VALUE ...]
//   > describe S|P NAME   > execute PORTAL ROWS   > close S|P NAME   > sync   > flush   > message TYPE HEX   > hex BYTES
//                                     `-` is an empty name or list; NULL and 0xHEX are values
//   = STATEMENT                       what the engine executed        < LINE   a message of the server's, a byte or the end
#pragma once

#include <string>
#include <vector>

namespace heptane::data::postgres::test {

struct TranscriptResult {
  std::vector<std::string> failures;
  std::string rewritten;  // the file with the answers that were seen
  std::string input;      // all bytes that the client sent
};

TranscriptResult play(const std::string& text);

}  // namespace heptane::data::postgres::test
