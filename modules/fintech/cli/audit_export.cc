// Reads streams of the running server page by page, and of the log's files the batches at both ends. The shard is never asked. Each record
// of fintech.orders, fintech.trades and fintech.risk is a row of exactly one file, in the order of its stream; members that have no column
// of their own are in the last one. So equal days make equal bytes, and nothing is left out by whoever adds a member to a record.
#include "modules/fintech/cli/audit_export.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/disk.h"
#include "kernel/cli/explained.h"
#include "kernel/cli/http_client.h"
#include "kernel/cli/server_commands.h"
#include "kernel/crypto/sha256.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech {

namespace {

using cli::HttpClient;
using http::JsonDocument;
using http::JsonValue;
using http::JsonWriter;

constexpr int kSchema = 1;  // of the files: it grows when a column changes its meaning or its place
constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kDayMs = 86'400'000;
constexpr uint32_t kPageRecords = 2'000;
constexpr char kSoh = '\x01';
constexpr std::string_view kAudit = "audit";
constexpr std::string_view kFix = "fintech.fix.";     // streams that begin so
constexpr std::string_view kOperators = "exchange.";  // actions that begin so

struct AuditArguments {
  std::string server = cli::kDefaultServer;
  std::string data = "heptane-data";
  std::string day;
  std::string out;
  bool so_far = false;
};

// A file. Of its stream it has the records of these events, or those of none of the others.
struct Sheet {
  std::string_view file;
  std::string_view stream;
  std::vector<std::string_view> events;
  std::vector<std::string_view> columns;  // members of the record
};

const std::vector<Sheet>& sheets() {
  using Names = std::vector<std::string_view>;
  static const Names kOfOrder = {"event",      "exec_id",  "order_id", "cl_ord_id",     "firm",         "account",
                                 "symbol",     "side",     "type",     "time_in_force", "status",       "price",
                                 "stop_price", "quantity", "filled",   "leaves",        "average_price"};
  static const std::vector<Sheet> kSheets = [] {
    Names orders = kOfOrder;
    for (const std::string_view name :
         {"trade_id", "last_price", "last_quantity", "liquidity", "fee", "rebate", "reason", "cancelled_quantity"})
      orders.push_back(name);
    return std::vector<Sheet>{
        {"orders.csv", exchange::kStreams[0], {}, orders},
        {"busts.csv",
         exchange::kStreams[0],
         {"trade_busted", "trade_corrected"},
         {"event",    "trade_id", "corrects", "exec_id",       "exec_ref_id",   "order_id", "cl_ord_id", "firm",
          "account",  "symbol",   "side",     "last_price",    "last_quantity", "fee",      "rebate",    "status",
          "quantity", "filled",   "leaves",   "average_price", "reason",        "by"}},
        {"trades.csv",
         exchange::kStreams[1],
         {},
         {"event", "trade_id", "corrects", "symbol", "price", "quantity", "notional", "aggressor", "buy_order_id",
          "sell_order_id"}},
        {"limits.csv",
         exchange::kStreams[2],
         {"limits"},
         {"event", "whose", "firm", "account", "symbol", "order_quantity_max", "order_notional_max", "long_max",
          "short_max", "orders_per_second", "orders_at_once", "by"}},
        {"kills.csv",
         exchange::kStreams[2],
         {"killed", "lifted", "mass_cancelled"},
         {"event", "whose", "firm", "account", "symbol", "reason", "number", "orders", "by"}},
        {"risk.csv", exchange::kStreams[2], {}, {"event", "firm", "account", "symbol", "price", "reason", "by"}},
        {"refusals.csv",
         kFix,
         {},
         {"session", "msg_type", "msg_seq_num", "sending_time", "order_id", "cl_ord_id", "orig_cl_ord_id", "account",
          "symbol", "side", "quantity", "price", "reason_code", "reason"}},
        {"operators.csv", kAudit, {}, {"action", "by", "on", "detail", "outcome"}},
    };
  }();
  return kSheets;
}

std::string text_of(const JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  if (!value || value->type() == http::JsonType::null) return "";
  return std::string(value->type() == http::JsonType::text ? value->text() : value->raw());
}

std::string cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

// RFC 4180.
class CsvFile {
 public:
  CsvFile(const std::string& directory, const Sheet& sheet) : out_(directory + "/" + std::string(sheet.file)) {
    std::vector<std::string> head = {"stream", "offset", "position", "time_ms"};
    head.insert(head.end(), sheet.columns.begin(), sheet.columns.end());
    head.emplace_back("more");
    put(head);
  }
  void add(const std::vector<std::string>& cells) {
    put(cells);
    ++rows_;
  }
  // False: not all of it is there.
  bool finish() {
    out_.close();
    for (const std::byte byte : hash_.finish()) {
      static constexpr char kDigits[] = "0123456789abcdef";
      digest_ += kDigits[static_cast<uint8_t>(byte) >> 4];
      digest_ += kDigits[static_cast<uint8_t>(byte) & 0xF];
    }
    return !out_.fail();
  }
  uint64_t rows() const { return rows_; }
  const std::string& digest() const { return digest_; }

 private:
  void put(const std::vector<std::string>& cells) {
    std::string line;
    for (const std::string& one : cells) line += (line.empty() ? "" : ",") + cell(one);
    line += "\r\n";
    hash_.add(as_bytes(line));
    out_ << line;
  }

  std::ofstream out_;
  crypto::Sha256 hash_;
  std::string digest_;
  uint64_t rows_ = 0;
};

struct Place {
  std::string stream;
  std::string offset;
  std::string position;
  std::string time_ms;
};

// What was read of a stream.
struct StreamRead {
  uint64_t records = 0;
  std::string first_offset;
  std::string last_offset;
};

class AuditExport {
 public:
  AuditExport(const AuditArguments& arguments, const cli::Context& context)
      : arguments_(arguments), context_(context), client_(arguments.server) {}

  Result<void> run() {
    HEPTANE_TRY(begin());
    for (const std::string& stream : streams_) HEPTANE_TRY(read(stream));
    return finish();
  }

 private:
  Result<void> begin();
  Result<void> list_streams();
  Result<void> read(const std::string& stream);
  // True: there are records of the day behind these.
  Result<bool> read_page(const std::string& stream, std::string& from);
  void take(const std::string& stream, const JsonValue& record);
  void take_json(const Place& place, const JsonValue& value);
  void take_message(const Place& place, std::string_view message);
  void add(const Sheet& sheet, const Place& place, const std::map<std::string, std::string, std::less<>>& values,
           const std::string& more);
  CsvFile& file_of(const Sheet& sheet) { return *files_.at(std::string(sheet.file)); }
  Result<void> finish();
  Result<void> write_end(JsonWriter& out, std::string_view name, Sequence sequence);

  const AuditArguments& arguments_;
  const cli::Context& context_;
  HttpClient client_;
  int64_t from_ms_ = 0;
  int64_t upto_ms_ = 0;
  bool complete_ = true;
  std::vector<std::string> streams_;  // by name
  std::map<std::string, std::unique_ptr<CsvFile>> files_;
  std::map<std::string, StreamRead> read_;
  std::optional<Sequence> first_;
  Sequence last_ = 0;
};

Result<void> AuditExport::begin() {
  const std::optional<LogTime> begins = cli::parse_time(arguments_.day + "T00:00:00Z");
  if (!begins) return Error{Errc::invalid_argument, "--day is a date such as 2026-11-30"};
  from_ms_ = *begins / kNsPerMs;
  upto_ms_ = from_ms_ + kDayMs;
  complete_ = static_cast<int64_t>(std::time(nullptr)) * 1'000 >= upto_ms_;
  if (!complete_ && !arguments_.so_far)
    return Error{Errc::refused, arguments_.day + " is not over yet (UTC): say --so-far for what there is of it"};
  SystemDisk disk;
  HEPTANE_TRY(disk.make_directory(arguments_.out));
  const Result<std::vector<std::string>> there = disk.list(arguments_.out);
  if (!there) return there.error();
  if (!there->empty()) return Error{Errc::exists, arguments_.out + " is not empty: say another directory"};
  for (const Sheet& sheet : sheets()) files_.emplace(sheet.file, std::make_unique<CsvFile>(arguments_.out, sheet));
  return list_streams();
}

Result<void> AuditExport::list_streams() {
  Result<std::string> answer = client_.call("GET", "/api/v1/streams");
  if (!answer) return answer.error();
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  const auto wanted = [](std::string_view name) {
    return name.starts_with(kFix) ||
           std::any_of(sheets().begin(), sheets().end(), [name](const Sheet& sheet) { return sheet.stream == name; });
  };
  const auto list = (*document)->root().find("streams");
  for (auto stream = list ? list->first() : std::nullopt; stream; stream = stream->next())
    if (std::string name = text_of(*stream, "name"); wanted(name)) streams_.push_back(std::move(name));
  std::sort(streams_.begin(), streams_.end());
  return {};
}

Result<void> AuditExport::read(const std::string& stream) {
  std::string from = "time=" + std::to_string(from_ms_);
  for (;;) {
    const Result<bool> more = read_page(stream, from);
    if (!more) return more.error();
    if (!*more) return {};
  }
}

Result<bool> AuditExport::read_page(const std::string& stream, std::string& from) {
  Result<std::string> answer = client_.call("GET", "/api/v1/streams/" + HttpClient::escaped(stream) +
                                                       "/records?limit=" + std::to_string(kPageRecords) + "&" + from);
  if (!answer) return answer.error();
  const auto document = JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  const JsonValue root = (*document)->root();
  const auto integer = [](const JsonValue& object, std::string_view name) {
    const auto value = object.find(name);
    return value ? value->integer().value_or(0) : 0;
  };
  const auto list = root.find("records");
  for (auto record = list ? list->first() : std::nullopt; record; record = record->next()) {
    const int64_t time_ms = integer(*record, "timestamp");
    if (time_ms >= upto_ms_) return false;
    if (time_ms >= from_ms_) take(stream, *record);
  }
  const int64_t next = integer(root, "next_offset");
  from = "offset=" + std::to_string(next);
  return next < integer(root, "end_offset");
}

void AuditExport::take(const std::string& stream, const JsonValue& record) {
  Place place{stream, text_of(record, "offset"), {}, text_of(record, "timestamp")};
  const auto headers = record.find("headers");
  for (auto header = headers ? headers->first() : std::nullopt; header; header = header->next())
    if (text_of(*header, "name") == "heptane.position") place.position = text_of(*header, "value");
  StreamRead& read = read_[stream];
  ++read.records;
  if (read.first_offset.empty()) read.first_offset = place.offset;
  read.last_offset = place.offset;
  if (const std::optional<cli::Position> at = cli::parse_position(place.position)) {
    first_ = std::min(first_.value_or(at->sequence), at->sequence);
    last_ = std::max(last_, at->sequence);
  }
  if (stream.starts_with(kFix)) {
    const std::optional<std::string> binary = http::base64_decoded(text_of(record, "value_base64"));
    return take_message(place, record.find("value") ? text_of(record, "value") : binary.value_or(""));
  }
  if (const auto value = record.find("value")) take_json(place, *value);
}

// Of its stream's files the one that names its event, else the one that names none.
void AuditExport::take_json(const Place& place, const JsonValue& value) {
  const std::string event = text_of(value, "event");
  if (place.stream == kAudit && !text_of(value, "action").starts_with(kOperators)) return;
  const Sheet* found = nullptr;
  for (const Sheet& sheet : sheets()) {
    if (sheet.stream != place.stream) continue;
    const bool names = std::find(sheet.events.begin(), sheet.events.end(), event) != sheet.events.end();
    if (names || (sheet.events.empty() && found == nullptr)) found = &sheet;
  }
  if (found == nullptr) return;
  std::map<std::string, std::string, std::less<>> values;
  JsonWriter more;
  more.begin_object();
  bool any = false;
  for (auto member = value.first(); member; member = member->next()) {
    const std::string_view name = member->name();
    if (std::find(found->columns.begin(), found->columns.end(), name) != found->columns.end()) {
      values.emplace(name, text_of(value, name));
    } else {
      more.key(name).raw(member->raw());
      any = true;
    }
  }
  more.end_object();
  std::string rest = more.take();
  rest.pop_back();  // its line end
  add(*found, place, values, any ? rest : "");
}

// A report of a refused order(8, 150=8), a cancel or replace that was refused(9), a mass cancel(r, 531=0), a business reject(j).
void AuditExport::take_message(const Place& place, std::string_view message) {
  std::map<std::string, std::string, std::less<>> fields;
  for (std::string_view rest = message; !rest.empty();) {
    const size_t end = std::min(rest.find(kSoh), rest.size());
    const std::string_view field = rest.substr(0, end);
    if (const size_t equals = field.find('='); equals != std::string_view::npos)
      fields.emplace(field.substr(0, equals), field.substr(equals + 1));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const auto field = [&](std::string_view tag) {
    const auto found = fields.find(tag);
    return found == fields.end() ? std::string() : found->second;
  };
  const std::string type = field("35");
  static const std::map<std::string, std::string, std::less<>> kReasons = {
      {"8", "103"}, {"9", "102"}, {"r", "532"}, {"j", "380"}};
  const auto reason = kReasons.find(type);
  if (reason == kReasons.end() || (type == "8" && field("150") != "8") || (type == "r" && field("531") != "0")) return;
  std::string text(message);
  std::replace(text.begin(), text.end(), kSoh, '|');
  const auto sheet =
      std::find_if(sheets().begin(), sheets().end(), [](const Sheet& one) { return one.stream == kFix; });
  add(*sheet, place,
      {{"session", place.stream.substr(kFix.size())},
       {"msg_type", type},
       {"msg_seq_num", field("34")},
       {"sending_time", field("52")},
       {"order_id", field("37")},
       {"cl_ord_id", field("11")},
       {"orig_cl_ord_id", field("41")},
       {"account", field("1")},
       {"symbol", field("55")},
       {"side", field("54")},
       {"quantity", field("38")},
       {"price", field("44")},
       {"reason_code", field(reason->second)},
       {"reason", field("58")}},
      text);
}

void AuditExport::add(const Sheet& sheet, const Place& place,
                      const std::map<std::string, std::string, std::less<>>& values, const std::string& more) {
  std::vector<std::string> cells = {place.stream, place.offset, place.position, place.time_ms};
  for (const std::string_view column : sheet.columns) {
    const auto found = values.find(column);
    cells.push_back(found == values.end() ? "" : found->second);
  }
  cells.push_back(more);
  file_of(sheet).add(cells);
}

// What the log says of the batch that holds it. Of one that is archived its chain is not kept.
Result<void> AuditExport::write_end(JsonWriter& out, std::string_view name, Sequence sequence) {
  const Result<archive::Explanation> said = cli::explained(arguments_.data, {0, sequence}, context_);
  if (!said) return said.error();
  out.key(name).begin_object().key("position").text(said->position).key("time").text(said->time);
  for (const auto& [fact, value] : said->facts)
    if (fact == "chain" || fact == "batch" || fact == "archived") out.key(fact).text(value);
  out.end_object();
  return {};
}

Result<void> AuditExport::finish() {
  JsonWriter out;
  out.begin_object().key("schema").number(kSchema).key("day").text(arguments_.day).key("from_ms").number(from_ms_);
  out.key("upto_ms").number(upto_ms_).key("complete").boolean(complete_).key("log").begin_object();
  if (first_) {
    HEPTANE_TRY(write_end(out, "first", *first_));
    HEPTANE_TRY(write_end(out, "last", last_));
  }
  out.end_object().key("streams").begin_array();
  for (const auto& [stream, read] : read_) {
    out.begin_object().key("stream").text(stream).key("records").unsigned_number(read.records);
    out.key("first_offset").text(read.first_offset).key("last_offset").text(read.last_offset).end_object();
  }
  out.end_array().key("files").begin_array();
  for (const auto& [name, file] : files_) {
    if (!file->finish()) return Error{Errc::io, "cannot write " + arguments_.out + "/" + name};
    out.begin_object().key("file").text(name).key("rows").unsigned_number(file->rows());
    out.key("sha256").text(file->digest()).end_object();
    std::printf("%-16s %10llu rows\n", name.c_str(), static_cast<unsigned long long>(file->rows()));
  }
  out.end_array().end_object();
  const std::string path = arguments_.out + "/manifest.json";
  std::ofstream manifest(path);
  manifest << out.take();
  manifest.close();
  if (manifest.fail()) return Error{Errc::io, "cannot write " + path};
  return {};
}

int export_day(const AuditArguments& arguments, const cli::Context& context) {
  if (const Result<void> done = AuditExport(arguments, context).run(); !done) return cli::failed(done.error());
  return cli::kOk;
}

}  // namespace

void add_audit_export(CLI::App& fintech, cli::Context& context) {
  auto arguments = std::make_shared<AuditArguments>();
  CLI::App* command = fintech.add_subcommand(
      "audit",
      "A day of orders, trades, refusals, limits, kills and busts as CSV files, with the log's chain at both ends.");
  command->add_option("--day", arguments->day, "2026-11-30, in UTC")->required();
  command->add_option("--out", arguments->out, "A directory that is empty or not there yet")->required();
  command->add_flag("--so-far", arguments->so_far, "Also of a day that is not over yet");
  command->add_option("--data", arguments->data, "Data directory of the server")->capture_default_str();
  command->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
  command->callback([arguments, &context] { context.exit_code = export_day(*arguments, context); });
}

}  // namespace heptane::fintech
