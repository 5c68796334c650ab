#include "modules/data/gateway/postgres/wire.h"

namespace heptane::data::postgres {

namespace {

// Text up to a zero byte.
std::string_view read_text(ByteReader& reader) {
  const std::string_view rest = as_text(reader.rest());
  const size_t end = rest.find('\0');
  if (end == std::string_view::npos) {
    reader.fail();
    return {};
  }
  reader.skip(end + 1);
  return rest.substr(0, end);
}

template <class T>
std::vector<T> read_list(ByteReader& reader) {
  const auto count = reader.be<uint16_t>();
  if (reader.failed() || !reader.fits(count, sizeof(T))) {
    reader.fail();
    return {};
  }
  std::vector<T> values(count);
  for (T& value : values) value = reader.be<T>();
  return values;
}

std::vector<std::optional<Bytes>> read_parameters(ByteReader& reader) {
  const auto count = reader.be<uint16_t>();
  if (reader.failed() || !reader.fits(count, kLengthBytes)) {
    reader.fail();
    return {};
  }
  std::vector<std::optional<Bytes>> values(count);
  for (std::optional<Bytes>& value : values) {
    const auto length = reader.be<int32_t>();
    if (length < -1) reader.fail();
    if (length >= 0) value = reader.take(static_cast<size_t>(length));
  }
  return values;
}

}  // namespace

std::optional<std::vector<StartupParameter>> read_startup(Bytes body) {
  ByteReader reader(body);
  std::vector<StartupParameter> parameters;
  while (!reader.failed()) {
    const std::string_view name = read_text(reader);
    if (name.empty()) break;
    parameters.push_back({name, read_text(reader)});
  }
  if (!reader.complete()) return std::nullopt;
  return parameters;
}

std::optional<std::string_view> read_query(Bytes body) {
  ByteReader reader(body);
  const std::string_view query = read_text(reader);
  if (!reader.complete()) return std::nullopt;
  return query;
}

std::optional<ParseMessage> read_parse(Bytes body) {
  ByteReader reader(body);
  ParseMessage message;
  message.statement = read_text(reader);
  message.query = read_text(reader);
  message.types = read_list<Oid>(reader);
  if (!reader.complete()) return std::nullopt;
  return message;
}

std::optional<BindMessage> read_bind(Bytes body) {
  ByteReader reader(body);
  BindMessage message;
  message.portal = read_text(reader);
  message.statement = read_text(reader);
  message.parameter_formats = read_list<int16_t>(reader);
  message.parameters = read_parameters(reader);
  message.result_formats = read_list<int16_t>(reader);
  if (!reader.complete()) return std::nullopt;
  return message;
}

std::optional<TargetMessage> read_target(Bytes body) {
  ByteReader reader(body);
  TargetMessage message;
  message.kind = static_cast<char>(reader.u8());
  message.name = read_text(reader);
  if (!reader.complete() || (message.kind != 'S' && message.kind != 'P')) return std::nullopt;
  return message;
}

std::optional<ExecuteMessage> read_execute(Bytes body) {
  ByteReader reader(body);
  ExecuteMessage message;
  message.portal = read_text(reader);
  const auto rows_max = reader.be<int32_t>();
  message.rows_max = rows_max > 0 ? static_cast<uint32_t>(rows_max) : 0;  // a negative one is none, as in PostgreSQL
  if (!reader.complete()) return std::nullopt;
  return message;
}

std::optional<SaslInitial> read_sasl_initial(Bytes body) {
  ByteReader reader(body);
  SaslInitial message;
  message.mechanism = read_text(reader);
  const auto length = reader.be<int32_t>();
  if (length < -1) reader.fail();
  if (length > 0) message.message = reader.take(static_cast<size_t>(length));
  if (!reader.complete()) return std::nullopt;
  return message;
}

std::optional<int16_t> format_of(const std::vector<int16_t>& formats, size_t at, size_t count) {
  if (formats.empty()) return kTextFormat;
  if (formats.size() != 1 && formats.size() != count) return std::nullopt;
  const int16_t format = formats[formats.size() == 1 ? 0 : at];
  return format == kTextFormat || format == kBinaryFormat ? std::optional(format) : std::nullopt;
}

ByteWriter& MessageWriter::begin(Answer type) {
  out_.u8(static_cast<uint8_t>(type));
  message_at_ = out_.size();
  out_.zeros(kLengthBytes);
  return out_;
}

void MessageWriter::end() { store_be(out_.at(message_at_), static_cast<int32_t>(out_.size() - message_at_)); }

void MessageWriter::text(std::string_view value) {
  out_.append(value);
  out_.u8(0);
}

void MessageWriter::report(Answer type, std::string_view severity, const sql::Failure& failure) {
  const auto field = [this](char name, std::string_view value) {
    out_.u8(static_cast<uint8_t>(name));
    text(value);
  };
  begin(type);
  field('S', severity);
  field('V', severity);
  field('C', failure.sqlstate);
  field('M', failure.message);
  if (!failure.hint.empty()) field('H', failure.hint);
  if (failure.position > 0) field('P', std::to_string(failure.position));
  out_.u8(0);
  end();
}

void MessageWriter::error(const sql::Failure& failure, bool fatal) {
  report(Answer::error, fatal ? "FATAL" : "ERROR", failure);
}

void MessageWriter::notice(const sql::Failure& failure) { report(Answer::notice, "WARNING", failure); }

void MessageWriter::command_complete(std::string_view tag) {
  begin(Answer::command_complete);
  text(tag);
  end();
}

void MessageWriter::parameter_status(std::string_view name, std::string_view value) {
  begin(Answer::parameter_status);
  text(name);
  text(value);
  end();
}

void MessageWriter::ready(char state) {
  begin(Answer::ready).u8(static_cast<uint8_t>(state));
  end();
}

void MessageWriter::row_description(const std::vector<sql::Column>& columns, const std::vector<int16_t>& formats) {
  begin(Answer::row_description).be(static_cast<int16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    text(columns[i].name);
    out_.be(uint32_t{0});  // of no table
    out_.be(int16_t{0});
    out_.be(oid_of(columns[i].type));
    out_.be(length_of(columns[i].type));
    out_.be(modifier_of(columns[i]));
    out_.be(format_of(formats, i, columns.size()).value_or(kTextFormat));
  }
  end();
}

std::vector<std::byte> MessageWriter::release() {
  std::vector<std::byte> bytes = out_.release();
  out_.clear();
  return bytes;
}

}  // namespace heptane::data::postgres
