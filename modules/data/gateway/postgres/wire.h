// Messages of PostgreSQL's protocol 3.0 as bytes. What a client sends is read as views of its bytes, checked before anything
// is allocated for it; what it is sent is written into one growing buffer. Pure.
//
// PostgreSQL 15 manual, 55.7 (message formats).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "modules/data/domain/sql/engine.h"
#include "modules/data/gateway/postgres/values.h"

namespace heptane::data::postgres {

constexpr size_t kLengthBytes = 4;
constexpr size_t kHeaderBytes = 1 + kLengthBytes;
constexpr size_t kStartupBytesMax = 10'000;

// What the first message of a connection is by its code.
constexpr uint32_t kProtocolMajor = 3;
constexpr uint32_t kCancelRequest = 80'877'102;
constexpr uint32_t kSslRequest = 80'877'103;
constexpr uint32_t kGssencRequest = 80'877'104;

// Format codes of values.
constexpr int16_t kTextFormat = 0;
constexpr int16_t kBinaryFormat = 1;

struct StartupParameter {
  std::string_view name;
  std::string_view value;
};

struct ParseMessage {
  std::string_view statement;
  std::string_view query;
  std::vector<Oid> types;
};

struct BindMessage {
  std::string_view portal;
  std::string_view statement;
  std::vector<int16_t> parameter_formats;
  std::vector<std::optional<Bytes>> parameters;
  std::vector<int16_t> result_formats;
};

// Of Describe and Close: 'S' statement, 'P' portal.
struct TargetMessage {
  char kind = 'S';
  std::string_view name;
};

struct ExecuteMessage {
  std::string_view portal;
  uint32_t rows_max = 0;  // 0: all
};

// nullopt: the body is not what its type says.
std::optional<std::vector<StartupParameter>> read_startup(Bytes body);
std::optional<std::string_view> read_query(Bytes body);
std::optional<ParseMessage> read_parse(Bytes body);
std::optional<BindMessage> read_bind(Bytes body);
std::optional<TargetMessage> read_target(Bytes body);
std::optional<ExecuteMessage> read_execute(Bytes body);
struct SaslInitial {
  std::string_view mechanism;
  Bytes message;
};
std::optional<SaslInitial> read_sasl_initial(Bytes body);

// The format of value `at` out of `count`; nullopt: the list fits neither all nor each.
std::optional<int16_t> format_of(const std::vector<int16_t>& formats, size_t at, size_t count);

// Types of messages to the client.
enum class Answer : char {
  authentication = 'R',
  backend_key = 'K',
  bind_complete = '2',
  close_complete = '3',
  command_complete = 'C',
  copy_data = 'd',
  copy_done = 'c',
  copy_out = 'H',
  data_row = 'D',
  empty_query = 'I',
  error = 'E',
  negotiate_version = 'v',
  no_data = 'n',
  notice = 'N',
  parameter_description = 't',
  parameter_status = 'S',
  parse_complete = '1',
  portal_suspended = 's',
  ready = 'Z',
  row_description = 'T',
};

// Writes messages one behind the other.
class MessageWriter {
 public:
  ByteWriter& begin(Answer type);
  void end();  // sets the length of the message begun
  void empty(Answer type) {
    begin(type);
    end();
  }
  void text(std::string_view value);  // and its final zero
  // ERROR or FATAL with its code, message, hint and position.
  void error(const sql::Failure& failure, bool fatal);
  void notice(const sql::Failure& failure);
  void command_complete(std::string_view tag);
  void parameter_status(std::string_view name, std::string_view value);
  void ready(char state);
  void row_description(const std::vector<sql::Column>& columns, const std::vector<int16_t>& formats);

  ByteWriter& bytes() { return out_; }
  size_t size() const { return out_.size(); }
  std::vector<std::byte> release();

 private:
  void report(Answer type, std::string_view severity, const sql::Failure& failure);

  ByteWriter out_;
  size_t message_at_ = 0;
};

}  // namespace heptane::data::postgres
