#include "modules/iot/machine/series/series_api.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "modules/iot/machine/texts.h"

namespace heptane::iot::series {

namespace {

constexpr uint8_t kPlain = 1;
constexpr uint8_t kHasTables = 2;
constexpr size_t kPlaceBytes = 6;
constexpr size_t kFieldPlaceBytes = 2 * kPlaceBytes + 1;
constexpr size_t kTimeDigitsMax = 21;
constexpr uint8_t kNoType = 0xFF;

bool is_field_type(uint8_t type) { return type <= static_cast<uint8_t>(FieldType::unsigned_integer); }

void append_place(ByteWriter& out, const Place& place) {
  out.le<uint32_t>(place.offset);
  out.le<uint16_t>(place.bytes);
}

Place read_place(ByteReader& in) {
  Place place;
  place.offset = in.le<uint32_t>();
  place.bytes = in.le<uint16_t>();
  return place;
}

bool within(const Place& place, std::string_view lines) {
  return place.offset <= lines.size() && place.bytes <= lines.size() - place.offset;
}

bool read_tables(ByteReader& in, LinesCommand& command) {
  const auto series = in.le<uint32_t>();
  const auto fields = in.le<uint32_t>();
  if (!in.fits(series, kPlaceBytes) || !in.fits(fields, kFieldPlaceBytes)) return false;
  command.series.reserve(series);
  command.fields.reserve(fields);
  for (uint32_t i = 0; i < series; ++i) command.series.push_back(read_place(in));
  for (uint32_t i = 0; i < fields; ++i) {
    FieldPlace field{read_place(in), read_place(in), FieldType::real};
    const uint8_t type = in.u8();
    if (!is_field_type(type)) in.fail();
    field.type = static_cast<FieldType>(type);
    command.fields.push_back(field);
  }
  return !in.failed();
}

bool tables_fit(const LinesCommand& command) {
  const auto right = [&](const Place& place) { return within(place, command.lines); };
  return std::all_of(command.series.begin(), command.series.end(), right) &&
         std::all_of(command.fields.begin(), command.fields.end(),
                     [&](const FieldPlace& field) { return right(field.measurement) && right(field.name); });
}

// A place lies behind the one before, or is the same where that may be.
class PlacesInOrder {
 public:
  explicit PlacesInOrder(size_t most) : most_(most) {}
  bool take(const Place& place, bool may_repeat) {
    if (place.bytes == 0 || place.bytes > most_) return false;
    if (may_repeat && end_ > 0 && place.offset == offset_) return place.offset + place.bytes == end_;
    if (place.offset < end_) return false;
    offset_ = place.offset;
    end_ = place.offset + place.bytes;
    return true;
  }

 private:
  const size_t most_;
  size_t offset_ = 0;
  size_t end_ = 0;
};

}  // namespace

bool valid_database(std::string_view name) {
  if (name.empty() || name.size() > kDatabaseNameBytesMax || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char at) {
    const bool letter = (at >= 'a' && at <= 'z') || (at >= 'A' && at <= 'Z') || (at >= '0' && at <= '9');
    return letter || at == '_' || at == '-' || at == '.' || at == ':';
  });
}

std::optional<LinesCommand> decode_lines(Bytes payload) {
  ByteReader in(payload);
  LinesCommand command;
  const uint8_t flags = in.u8();
  command.plain = (flags & kPlain) != 0;
  command.has_tables = (flags & kHasTables) != 0;
  command.database = get_text(in);
  command.unit_ns = in.le<int64_t>();
  command.default_time = in.le<int64_t>();
  command.count = in.le<uint32_t>();
  if (command.has_tables && !read_tables(in, command)) return std::nullopt;
  command.lines = as_text(in.rest());
  if (in.failed() || command.unit_ns <= 0 || command.count == 0) return std::nullopt;
  if (command.lines.size() > kLinesBytesMax + 1 || !tables_fit(command)) return std::nullopt;
  return command;
}

bool sound_tables(const LinesCommand& command) {
  if (!command.has_tables) return false;
  if (command.series.size() * kPlaceBytes + command.fields.size() * kFieldPlaceBytes > kTableBytesMax) return false;
  PlacesInOrder keys(kKeyBytesMax);
  PlacesInOrder measurements(kKeyBytesMax);
  PlacesInOrder names(kFieldNameBytesMax);
  return std::all_of(command.series.begin(), command.series.end(),
                     [&](const Place& place) { return keys.take(place, false); }) &&
         std::all_of(command.fields.begin(), command.fields.end(), [&](const FieldPlace& field) {
           return measurements.take(field.measurement, true) && names.take(field.name, false);
         });
}

Buffer encode(const Fit& fit) {
  ByteWriter out;
  for (const uint64_t number : {fit.series_room, fit.series_max, fit.fields_room, fit.field_bytes_room})
    out.le<uint64_t>(number);
  out.le<uint32_t>(static_cast<uint32_t>(fit.knows_series.size()));
  for (const bool known : fit.knows_series) out.u8(known ? 1 : 0);
  out.le<uint32_t>(static_cast<uint32_t>(fit.types.size()));
  for (size_t i = 0; i < fit.types.size(); ++i) {
    out.u8(fit.types[i] ? static_cast<uint8_t>(*fit.types[i]) : kNoType);
    out.le<uint32_t>(fit.measurement_fields[i]);
  }
  return Buffer::take(out.release());
}

std::optional<Fit> decode_fit(Bytes payload) {
  ByteReader in(payload);
  Fit fit;
  for (uint64_t* number : {&fit.series_room, &fit.series_max, &fit.fields_room, &fit.field_bytes_room})
    *number = in.le<uint64_t>();
  const auto series = in.le<uint32_t>();
  if (!in.fits(series, 1)) return std::nullopt;
  for (uint32_t i = 0; i < series; ++i) fit.knows_series.push_back(in.u8() != 0);
  const auto fields = in.le<uint32_t>();
  if (!in.fits(fields, 1 + sizeof(uint32_t))) return std::nullopt;
  for (uint32_t i = 0; i < fields; ++i) {
    const uint8_t type = in.u8();
    if (type != kNoType && !is_field_type(type)) return std::nullopt;
    fit.types.push_back(type == kNoType ? std::nullopt : std::optional(static_cast<FieldType>(type)));
    fit.measurement_fields.push_back(in.le<uint32_t>());
  }
  if (!in.complete()) return std::nullopt;
  return fit;
}

std::string type_conflict(std::string_view measurement, std::string_view name, FieldType type, FieldType there) {
  std::string text = "field type conflict: input field \"";
  text.append(name).append("\" on measurement \"").append(measurement).append("\" is type ").append(type_name(type));
  return text.append(", already exists as type ").append(type_name(there));
}

LinesCommandWriter::LinesCommandWriter(std::string_view database, int64_t unit_ns, int64_t default_time, uint64_t seed)
    : database_(database),
      unit_ns_(unit_ns),
      default_time_(default_time - default_time % unit_ns),
      plain_(unit_ns == 1),
      known_series_(seed),
      known_fields_(seed) {}

// What goes on where the one before it ended is one piece with it, and is copied once, into the command.
void LinesCommandWriter::add_text(std::string_view text) {
  const char* const end = run_.data() + run_.size();
  if (!run_.empty() && text.data() == end + 1 && *end == '\n') {
    run_ = {run_.data(), run_.size() + 1 + text.size()};
    return;
  }
  end_run();
  run_ = text;
}

void LinesCommandWriter::end_run() {
  if (!run_.empty()) lines_.append(run_).append("\n");
  run_ = {};
}

bool LinesCommandWriter::add(const Line& line, std::string_view key) {
  int64_t time = 0;
  if (line.time && __builtin_mul_overflow(*line.time, unit_ns_, &time)) return false;
  const size_t offset = lines_bytes();
  const size_t body = offset + key.size() + 1;
  if (stands_as_written(line, key)) {
    add_text(line.text);
  } else {
    end_run();
    lines_.append(key).append(" ").append(line.body);
    if (line.time) {
      std::array<char, kTimeDigitsMax> digits{};
      const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), *line.time);
      lines_.append(" ").append(digits.data(), end);
    }
    plain_ = plain_ && line.time.has_value();
    lines_ += '\n';
  }
  ++count_;
  if (!fits()) return true;
  if (!line.known_head) {
    note_series(key, offset);
    if (key.data() == line.head.data()) heads_.add(line);
  }
  if (!has_last_shape(line)) note_fields(line, offset, body);
  return true;
}

// As one copy has it.
bool LinesCommandWriter::stands_as_written(const Line& line, std::string_view key) {
  if (!line.time || key.data() != line.head.data()) return false;
  if (line.text.size() != key.size() + line.body.size() + line.time_text.size() + 2) return false;
  const std::string_view digits = line.time_text.substr(line.time_text.starts_with('-') ? 1 : 0);
  return !digits.starts_with('0') || line.time_text == "0";
}

void LinesCommandWriter::note_series(std::string_view key, size_t offset) {
  if (!known_series_.add(key_hash(key)).second) return;
  series_.push_back({static_cast<uint32_t>(offset), static_cast<uint16_t>(key.size())});
  tables_bytes_ += kPlaceBytes;
}

// Lines of one kind come together: what is known of one is known of the next.
bool LinesCommandWriter::has_last_shape(const Line& line) {
  bool same = line.measurement == last_measurement_ && line.fields.size() == last_fields_.size();
  for (size_t i = 0; same && i < last_fields_.size(); ++i)
    same = line.fields[i].name == last_fields_[i].first && line.fields[i].value.type == last_fields_[i].second;
  if (same) return true;
  last_measurement_ = line.measurement;
  last_fields_.clear();
  for (const Field& field : line.fields) last_fields_.emplace_back(field.name, field.value.type);
  return false;
}

void LinesCommandWriter::note_fields(const Line& line, size_t line_offset, size_t body_offset) {
  const Hash128 measurement = key_hash(line.measurement);
  for (const Field& field : line.fields) {
    Hash128 hash = field_hash(measurement, field.name);
    hash.high = hash.high * 8 + static_cast<uint64_t>(field.value.type) + 1;
    if (!known_fields_.add(hash).second) continue;
    const auto name_offset = static_cast<size_t>(field.name.data() - line.body.data());
    fields_.push_back({{static_cast<uint32_t>(line_offset), static_cast<uint16_t>(line.measurement.size())},
                       {static_cast<uint32_t>(body_offset + name_offset), static_cast<uint16_t>(field.name.size())},
                       field.value.type});
    tables_bytes_ += kFieldPlaceBytes;
  }
}

Buffer LinesCommandWriter::finish() {
  ByteWriter out;
  out.u8(static_cast<uint8_t>((plain_ ? kPlain : 0) | (fits() ? kHasTables : 0)));
  put_text(out, database_);
  out.le<int64_t>(unit_ns_);
  out.le<int64_t>(default_time_);
  out.le<uint32_t>(count_);
  out.reserve(out.size() + 2 * sizeof(uint32_t) + (fits() ? tables_bytes_ : 0) + lines_bytes());
  if (fits()) {
    out.le<uint32_t>(static_cast<uint32_t>(series_.size()));
    out.le<uint32_t>(static_cast<uint32_t>(fields_.size()));
    for (const Place& place : series_) append_place(out, place);
    for (const FieldPlace& field : fields_) {
      append_place(out, field.measurement);
      append_place(out, field.name);
      out.u8(static_cast<uint8_t>(field.type));
    }
  }
  out.append(lines_);
  out.append(run_);
  if (!run_.empty()) out.u8('\n');
  return Buffer::take(out.release());
}

Buffer encode(const Dropped& dropped) {
  ByteWriter out;
  out.le<uint32_t>(dropped.line);
  out.u8(dropped.no_room ? 1 : 0);
  out.append(dropped.why);
  return Buffer::take(out.release());
}

std::optional<Dropped> decode_dropped(Bytes payload) {
  ByteReader in(payload);
  Dropped dropped;
  dropped.line = in.le<uint32_t>();
  dropped.no_room = in.u8() != 0;
  dropped.why = as_text(in.rest());
  if (in.failed()) return std::nullopt;
  return dropped;
}

void append_record_line(std::string& out, std::string_view head, std::string_view body, int64_t time) {
  std::array<char, kTimeDigitsMax> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), time);
  out.append(head).append(" ").append(body).append(" ").append(digits.data(), end).append("\n");
}

namespace {

// Another machine's command: its lines stand beside it, with their database.
void render_foreign(const LoggedCommand& logged, RecordWriter& out) {
  if (logged.results.empty()) return out.skip();
  ByteReader in(logged.results.front());
  const Bytes database = as_bytes(get_text(in));
  out.add({database, true, in.rest()});
}

}  // namespace

// What was dropped is noted beside the command: a bit a line, the lowest first.
void render_lines(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number != kLinesView.number) return;
  if (!out.wants()) return out.skip();
  if (logged.command.machine != kSeriesMachineId) return render_foreign(logged, out);
  if (logged.command.type == kDropDatabase) return out.add({logged.command.payload, true, {}});
  const auto command = decode_lines(logged.command.payload);
  if (!command) return out.skip();
  const Bytes key = as_bytes(command->database);
  if (command->plain && logged.results.empty()) return out.add({key, true, as_bytes(command->lines)});
  const Bytes dropped = logged.results.empty() ? Bytes{} : logged.results.front();
  std::string text;
  LineReader reader(command->lines);
  Line line;
  for (uint32_t i = 0; reader.next(line); ++i) {
    const bool drop = i / 8 < dropped.size() && (static_cast<uint8_t>(dropped[i / 8]) >> i % 8 & 1) != 0;
    if (!drop)
      append_record_line(text, line.head, line.body, line.time ? *line.time * command->unit_ns : command->default_time);
  }
  // No value would be a drop.
  if (text.empty()) text = "\n";
  out.add({key, true, as_bytes(text)});
}

}  // namespace heptane::iot::series
