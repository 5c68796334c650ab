// Messages of a session that is being served: simple queries and the extended protocol.
#include <algorithm>

#include "kernel/base/utf8.h"
#include "modules/data/gateway/postgres/session.h"

namespace heptane::data::postgres {

using sql::failure;
using sql::Failure;
using sql::Statement;
using sql::StatementKind;

namespace {

constexpr const char* kProtocolViolation = "08P01";

std::string shown_name(std::string_view what, std::string_view name) {
  return std::string(name.empty() ? "unnamed " : "") + std::string(what) +
         (name.empty() ? "" : " \"" + std::string(name) + "\"");
}

}  // namespace

void PostgresSession::on_message(char type, Bytes body) {
  if (stage_ == Stage::authentication && type == 'p') return on_sasl(body);
  if (type == 'X') return end("the client said goodbye");
  if (type == 'S') return on_sync();
  if (skip_until_sync_ || !in_force()) return;
  switch (type) {
    case 'Q': return on_query(body);
    case 'P': return on_parse(body);
    case 'B': return on_bind(body);
    case 'D': return on_describe(body);
    case 'E': return on_execute(body);
    case 'C': return on_close_target(body);
    case 'F':
      in_simple_ = true;
      fail(failure("0A000", "function calls are not served: SELECT does it"));
      return advance_simple();
    default: return;  // Flush: every answer goes out at once. COPY messages of a client that was refused.
  }
}

bool PostgresSession::text_is_right(std::string_view text) {
  if (is_utf8(text)) return true;
  fail(failure("22021", "invalid byte sequence for encoding \"UTF8\""));
  return false;
}

void PostgresSession::on_query(Bytes body) {
  in_simple_ = true;
  drop_stored("");
  drop_portal("");
  // A zero byte within is the end of the text for PostgreSQL's own protocol: what follows it is no text at all.
  const std::string_view text = as_text(body);
  if (text.empty() || text.back() != '\0') return malformed("invalid message format");
  const std::string_view query = text.substr(0, text.size() - 1);
  if (query.find('\0') != std::string_view::npos) {
    fail(failure("22021", "invalid byte sequence for encoding \"UTF8\": 0x00"));
    return advance_simple();
  }
  if (!text_is_right(query)) return advance_simple();
  auto statements = sql::parse_statements(query);
  if (auto* failed = std::get_if<Failure>(&statements)) {
    fail(std::move(*failed));
    return advance_simple();
  }
  simple_ = std::move(std::get<0>(statements));
  if (simple_.empty()) out_.empty(Answer::empty_query);
  std::reverse(simple_.begin(), simple_.end());
  advance_simple();
}

void PostgresSession::on_parse(Bytes body) {
  const auto message = read_parse(body);
  if (!message) return fail(failure(kProtocolViolation, "invalid message format, or a zero byte in a text"));
  if (!text_is_right(message->query) || !text_is_right(message->statement)) return;
  if (message->statement.empty())
    drop_stored("");
  else if (stored_.contains(message->statement))
    return fail(failure("42P05", "prepared statement \"" + std::string(message->statement) + "\" already exists"));
  auto statements = sql::parse_statements(message->query);
  if (auto* failed = std::get_if<Failure>(&statements)) return fail(std::move(*failed));
  std::vector<Statement>& parsed = std::get<0>(statements);
  if (parsed.size() > 1) return fail(failure("42601", "cannot insert multiple commands into a prepared statement"));
  if (parsed.empty()) parsed.emplace_back().kind = StatementKind::empty;
  if (!may_run(parsed[0])) return;
  const std::shared_ptr<Stored> stored = store(std::move(parsed[0]));
  if (!stored) return;
  stored->types = message->types;
  if (!stored->is_engines() || stored->question) return keep(message->statement, stored);
  parse_name_ = message->statement;
  auto step = std::make_shared<Step>();
  step->cancellation = cancellation_;
  step->stored = stored;
  submit(std::move(step));
}

void PostgresSession::keep(std::string_view name, std::shared_ptr<Stored> stored) {
  stored->bytes = stored->footprint() + name.size();
  if (stored_.size() >= kStoredMax || kept_bytes_ + stored->bytes > kKeptBytesMax)
    return fail(failure("53400", "too many prepared statements", "DEALLOCATE those that are done with."));
  kept_bytes_ += stored->bytes;
  stored_.insert_or_assign(std::string(name), std::move(stored));
  out_.empty(Answer::parse_complete);
}

std::shared_ptr<Stored> PostgresSession::find_stored(std::string_view name) {
  const auto found = stored_.find(name);
  if (found != stored_.end()) return found->second;
  fail(failure("26000", shown_name("prepared statement", name) + " does not exist"));
  return nullptr;
}

std::shared_ptr<Portal> PostgresSession::find_portal(std::string_view name) {
  const auto found = portals_.find(name);
  if (found != portals_.end()) return found->second;
  fail(failure("34000", shown_name("portal", name) + " does not exist"));
  return nullptr;
}

void PostgresSession::on_bind(Bytes body) {
  const auto message = read_bind(body);
  if (!message) return fail(failure(kProtocolViolation, "invalid message format, or a zero byte in a text"));
  if (!text_is_right(message->portal)) return;
  const std::shared_ptr<Stored> stored = find_stored(message->statement);
  if (!stored || !may_run(stored->statement)) return;
  if (message->portal.empty())
    drop_portal("");
  else if (portals_.contains(message->portal))
    return fail(failure("42P03", "portal \"" + std::string(message->portal) + "\" already exists"));
  const size_t columns = stored->result_columns().size();
  for (size_t i = 0; i < std::max<size_t>(columns, message->result_formats.size() == 1 ? 1 : 0); ++i)
    if (!format_of(message->result_formats, i, columns))
      return fail(failure(kProtocolViolation, "bind message has " + std::to_string(message->result_formats.size()) +
                                                  " result formats but query has " + std::to_string(columns) +
                                                  " columns"));
  auto parameters = parameters_of(*message, *stored);
  if (!parameters) return;
  // Its statement is counted again: it stays as long as the portal.
  size_t bytes = body.size() + stored->bytes;
  for (const sql::Parameter& parameter : *parameters) bytes += sizeof(parameter) + parameter.value_or("").size();
  if (portals_.size() >= kPortalsMax || kept_bytes_ + bytes > kKeptBytesMax)
    return fail(failure("53400", "too many open portals", "Sync outside a transaction closes them."));
  auto portal = std::make_shared<Portal>();
  portal->stored = stored;
  portal->parameters = std::move(*parameters);
  portal->formats = message->result_formats;
  portal->bytes = bytes;
  kept_bytes_ += portal->bytes;
  portals_.insert_or_assign(std::string(message->portal), std::move(portal));
  out_.empty(Answer::bind_complete);
}

std::optional<std::vector<sql::Parameter>> PostgresSession::parameters_of(const BindMessage& message,
                                                                          const Stored& stored) {
  const std::vector<Oid> types = stored.parameter_types();
  const size_t given = message.parameters.size();
  if (given != types.size()) {
    fail(failure(kProtocolViolation, "bind message supplies " + std::to_string(given) + " parameters, but " +
                                         shown_name("prepared statement", message.statement) + " requires " +
                                         std::to_string(types.size())));
    return std::nullopt;
  }
  std::vector<sql::Parameter> parameters;
  parameters.reserve(given);
  for (size_t i = 0; i < given; ++i) {
    const auto format = format_of(message.parameter_formats, i, given);
    if (!format) {
      fail(failure(kProtocolViolation, "bind message has " + std::to_string(message.parameter_formats.size()) +
                                           " parameter formats but " + std::to_string(given) + " parameters"));
      return std::nullopt;
    }
    if (!message.parameters[i]) {
      parameters.emplace_back();
      continue;
    }
    const std::string_view text = as_text(*message.parameters[i]);
    const bool readable = *format == kBinaryFormat || (is_utf8(text) && text.find('\0') == std::string_view::npos);
    auto value =
        !readable
            ? failure("22021", "invalid byte sequence for encoding \"UTF8\" in parameter $" + std::to_string(i + 1))
        : *format == kTextFormat ? std::variant<std::string, Failure>(std::string(text))
                                 : parameter_text(types[i], *message.parameters[i]);
    if (auto* failed = std::get_if<Failure>(&value)) {
      fail(std::move(*failed));
      return std::nullopt;
    }
    parameters.emplace_back(std::move(std::get<0>(value)));
  }
  // Those that the client declared and the statement does not use.
  parameters.resize(stored.prepared ? std::min(given, stored.prepared->parameters().size()) : 0);
  return parameters;
}

void PostgresSession::on_describe(Bytes body) {
  const auto message = read_target(body);
  if (!message) return fail(failure(kProtocolViolation, "invalid message format"));
  std::shared_ptr<Stored> stored;
  std::vector<int16_t> formats;
  if (message->kind == 'S') {
    stored = find_stored(message->name);
    if (!stored) return;
    const std::vector<Oid> types = stored->parameter_types();
    ByteWriter& out = out_.begin(Answer::parameter_description);
    out.be(static_cast<int16_t>(types.size()));
    for (const Oid type : types) out.be(type);
    out_.end();
  } else {
    const std::shared_ptr<Portal> portal = find_portal(message->name);
    if (!portal) return;
    stored = portal->stored;
    formats = portal->formats;
  }
  if (stored->is_copy() || stored->result_columns().empty())
    out_.empty(Answer::no_data);
  else
    out_.row_description(stored->result_columns(), formats);
}

void PostgresSession::on_execute(Bytes body) {
  const auto message = read_execute(body);
  if (!message) return fail(failure(kProtocolViolation, "invalid message format"));
  const std::shared_ptr<Portal> portal = find_portal(message->portal);
  if (!portal || !may_run(portal->stored->statement)) return;
  serve(portal, false, message->rows_max);
}

void PostgresSession::on_close_target(Bytes body) {
  const auto message = read_target(body);
  if (!message) return fail(failure(kProtocolViolation, "invalid message format"));
  if (message->kind == 'S')
    drop_stored(message->name);
  else
    drop_portal(message->name);
  out_.empty(Answer::close_complete);
}

// Outside a transaction a Sync ends what was begun since the one before it.
void PostgresSession::on_sync() {
  skip_until_sync_ = false;
  if (transaction_ == Transaction::none) drop_portals();
  ready();
}

}  // namespace heptane::data::postgres
