#include "modules/data/test/postgres_transcript.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>

#include "modules/data/domain/sql/statement.h"
#include "modules/data/test/postgres_world.h"

namespace heptane::data::postgres::test {

namespace {

using Words = std::vector<std::string>;

std::pair<std::string, std::string> first_word(const std::string& text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return {};
  const size_t end = std::min(text.find(' ', begin), text.size());
  return {text.substr(begin, end - begin), end < text.size() ? text.substr(end + 1) : ""};
}

Words words(const std::string& text) {
  std::istringstream in(text);
  Words found;
  for (std::string word; in >> word;) found.push_back(word);
  return found;
}

std::vector<std::string> split(const std::string& text, const std::string& sign) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t end = text.find(sign, begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + sign.size();
  }
}

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

std::optional<std::string> value_of(const std::string& text) {
  if (text == "NULL") return std::nullopt;
  if (text.starts_with("0x")) return bytes_of(text.substr(2));
  return text;
}

sql::Column column_of(const std::string& text) {
  constexpr std::array<std::string_view, 15> kTypes{"boolean",     "int16",   "int32", "int64", "float4",
                                                    "float8",      "numeric", "date",  "time",  "timestamp",
                                                    "timestamptz", "uuid",    "json",  "bytea", "text"};
  const size_t colon = text.find(':');
  std::string type = colon == std::string::npos ? text : text.substr(colon + 1);
  sql::Column column;
  column.name = text.substr(0, colon);
  if (const size_t open = type.find('('); open != std::string::npos) {
    const size_t comma = type.find(',');
    column.precision = static_cast<uint8_t>(std::stoi(type.substr(open + 1)));
    column.scale = static_cast<uint8_t>(std::stoi(type.substr(comma + 1)));
    type.resize(open);
  }
  const auto* found = std::find(kTypes.begin(), kTypes.end(), type);
  if (found == kTypes.end()) throw std::runtime_error("no type " + type);
  column.type = static_cast<sql::Type>(found - kTypes.begin());
  return column;
}

sql::Failure failure_of(const std::string& text) {
  const auto [code, rest] = first_word(text);
  const auto [position, message] = first_word(rest);
  return sql::failure(code.c_str(), message, {}, std::stoul(position));
}

Scripted answer_of(const std::vector<std::string>& lines) {
  Scripted scripted;
  for (const std::string& line : lines) {
    const auto [what, rest] = first_word(line);
    if (what == "columns")
      for (const std::string& word : words(rest)) scripted.columns.push_back(column_of(word));
    else if (what == "parameters")
      for (const std::string& word : words(rest)) scripted.parameters.push_back(column_of(word).type);
    else if (what == "row") {
      TextRow row;
      for (const std::string& value : split(rest, " | ")) row.push_back(value_of(value));
      scripted.rows.push_back(std::move(row));
    } else if (what == "times")
      scripted.repeated = std::stoul(rest);
    else if (what == "at")
      scripted.rows_at_once = std::stoul(rest.substr(5));
    else if (what == "fails")
      scripted.prepare_fails = failure_of(rest);
    else if (what == "execute-fails")
      scripted.execute_fails = failure_of(rest);
    else if (what == "next-fails")
      scripted.next_fails = failure_of(rest);
    else
      throw std::runtime_error("no answer has " + what);
  }
  return scripted;
}

std::string name_of(const std::string& word) { return word == "-" ? "" : word; }

template <class T>
void put_list(ByteWriter& out, const std::string& text) {
  const std::vector<std::string> values = text == "-" ? std::vector<std::string>() : split(text, ",");
  out.be(static_cast<uint16_t>(values.size()));
  for (const std::string& value : values) out.be(static_cast<T>(std::stoul(value)));
}

void put_text(ByteWriter& out, const std::string& text) {
  out.append(text);
  out.u8(0);
}

std::string body_of(const ByteWriter& out) { return std::string(as_text(out.view())); }

std::string parse_body(const std::string& text) {
  const auto [name, rest] = first_word(text);
  const auto [types, query] = first_word(rest);
  ByteWriter out;
  put_text(out, name_of(name));
  put_text(out, query);
  put_list<uint32_t>(out, types);
  return body_of(out);
}

std::string bind_body(const std::string& text) {
  const Words given = words(text);
  ByteWriter out;
  put_text(out, name_of(given.at(0)));
  put_text(out, name_of(given.at(1)));
  put_list<int16_t>(out, given.at(2));
  std::string rest = text;
  for (int i = 0; i < 4; ++i) rest = first_word(rest).second;
  const std::vector<std::string> values = rest.empty() ? std::vector<std::string>() : split(rest, " | ");
  out.be(static_cast<uint16_t>(values.size()));
  for (const std::string& word : values) {
    const auto value = value_of(word);
    out.be(value ? static_cast<int32_t>(value->size()) : -1);
    if (value) out.append(*value);
  }
  put_list<int16_t>(out, given.at(3));
  return body_of(out);
}

std::vector<std::pair<std::string, std::string>> pairs_of(const std::string& text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& word : words(text)) {
    const size_t equals = word.find('=');
    std::string value = word.substr(equals + 1);
    for (char& c : value) c = c == '~' ? ' ' : c;  // a blank
    pairs.emplace_back(word.substr(0, equals), value);
  }
  return pairs;
}

std::string sasl_initial(const std::string& text) {
  const auto [mechanism, first] = first_word(text);
  ByteWriter out;
  put_text(out, mechanism);
  out.be(static_cast<int32_t>(first.size()));
  out.append(first);
  return body_of(out);
}

// The bytes of a line behind `> `.
std::string message_of(const std::string& text) {
  const auto [what, rest] = first_word(text);
  ByteWriter out;
  if (what == "startup") return startup_message(pairs_of(rest));
  if (what == "version") {
    const Words given = words(rest);
    const auto code = static_cast<uint32_t>(std::stoul(given.at(0)) << 16 | std::stoul(given.at(1)));
    return startup_message(pairs_of(first_word(first_word(rest).second).second), code);
  }
  if (what == "ssl") return request_message(kSslRequest);
  if (what == "gssenc") return request_message(kGssencRequest);
  if (what == "cancel") {
    out.be(static_cast<uint32_t>(std::stoul(words(rest).at(0))));
    out.be(static_cast<uint32_t>(std::stoul(words(rest).at(1))));
    return request_message(kCancelRequest, body_of(out));
  }
  if (what == "sasl-initial") return message('p', sasl_initial(rest));
  if (what == "sasl") return message('p', rest);
  if (what == "query") return query_message(rest);
  if (what == "parse") return message('P', parse_body(rest));
  if (what == "bind") return message('B', bind_body(rest));
  if (what == "describe" || what == "close") {
    out.append(words(rest).at(0));
    put_text(out, name_of(words(rest).at(1)));
    return message(what == "close" ? 'C' : 'D', body_of(out));
  }
  if (what == "execute") {
    put_text(out, name_of(words(rest).at(0)));
    out.be(static_cast<int32_t>(std::stoi(words(rest).at(1))));
    return message('E', body_of(out));
  }
  if (what == "sync") return message('S', "");
  if (what == "flush") return message('H', "");
  if (what == "terminate") return message('X', "");
  if (what == "message") return message(words(rest).at(0)[0], bytes_of(first_word(rest).second));
  if (what == "hex") return bytes_of(rest);
  throw std::runtime_error("nobody sends " + what);
}

class Player {
 public:
  TranscriptResult play(const std::string& text) {
    std::istringstream in(text);
    std::vector<std::vector<std::string>> entries;
    for (std::string line; std::getline(in, line);) {
      if (!entries.empty() && !line.empty() && line[0] == ' ')
        entries.back().push_back(line);
      else
        entries.push_back({line});
    }
    for (const auto& entry : entries) run(entry);
    settle();
    return std::move(result_);
  }

 private:
  void run(const std::vector<std::string>& entry) {
    const std::string& line = entry[0];
    const char kind = line.empty() ? '#' : line[0];
    if (kind == '<' || kind == '=') {
      expected_.push_back(line);
      return;
    }
    settle();
    for (const std::string& part : entry) result_.rewritten += part + "\n";
    if (kind == '#') return;
    const std::string rest = line.size() > 2 ? line.substr(2) : "";
    try {
      if (kind == '!')
        direct(rest, {entry.begin() + 1, entry.end()});
      else if (kind == '>')
        send(message_of(entry.size() == 1 ? rest : joined(rest, entry)));
      else
        throw std::runtime_error("a line begins with # ! > < = or a blank");
    } catch (const std::exception& error) {
      result_.failures.push_back(line + ": " + error.what());
    }
  }

  static std::string joined(std::string text, const std::vector<std::string>& entry) {
    for (size_t i = 1; i < entry.size(); ++i) text += "\n" + entry[i];
    return text;
  }

  void send(const std::string& bytes) {
    result_.input += bytes;
    world_.send(bytes);
  }

  // What was seen since the line before against what stands below it.
  void settle() {
    std::vector<std::string> seen;
    for (const std::string& line : world_.engine.log) seen.push_back("= " + line);
    for (const std::string& line : lines_of(world_.output)) seen.push_back("< " + line);
    if (world_.closed && !std::exchange(end_told_, true)) seen.push_back("< close " + *world_.closed);
    world_.engine.log.clear();
    world_.output.clear();
    for (const std::string& line : seen) result_.rewritten += line + "\n";
    for (size_t i = 0; i < std::max(seen.size(), expected_.size()); ++i) {
      const std::string is = i < seen.size() ? seen[i] : "(nothing)";
      const std::string should = i < expected_.size() ? expected_[i] : "(nothing)";
      if (is != should) result_.failures.push_back("expected " + should + "\n     got " + is);
    }
    expected_.clear();
  }

  void direct(const std::string& text, const std::vector<std::string>& lines) {
    const auto [what, rest] = first_word(text);
    FakeEngine& engine = world_.engine;
    if (what == "answer")
      engine.answers[rest] = answer_of(lines);
    else if (what == "applied")
      engine.position = std::stoul(rest);
    else if (what == "connections")
      engine.connections_max = std::stoul(rest);
    else if (what == "refuse-jobs")
      engine.refuses_jobs = rest == "on";
    else if (what == "hold" || what == "release")
      hold(what == "hold");
    else if (what == "wait")
      world_.pass_time(std::stol(rest) * 1'000'000);
    else if (what == "stall")
      world_.stall_output(true);
    else if (what == "drain")
      world_.drain_output();
    else if (what == "auth")
      world_.options.authenticator = &world_.authenticator;
    else if (what == "readable")
      world_.authenticator.readable = rest;
    else if (what == "certificate")
      world_.authenticator.certificate = rest;
    else if (what == "revoke")
      world_.authenticator.revoked = true;
    else if (what == "option")
      set_option(words(rest));
    else if (what == "interrupts")
      check(rest, engine.interrupts, what);
    else if (what == "open-cursors")
      check(rest, engine.cursors, what);
    else if (what == "open-connections")
      check(rest, engine.connections, what);
    else if (what == "cancel")
      cancel(words(rest));
    else
      throw std::runtime_error("nothing is called " + what);
  }

  void hold(bool held) {
    world_.hold(held);
    world_.deliver();
  }
  // Of another connection.
  void cancel(const Words& key) {
    world_.protocol().cancel(
        {static_cast<uint32_t>(std::stoul(key.at(0))), static_cast<uint32_t>(std::stoul(key.at(1)))});
    world_.deliver();
  }
  void set_option(const Words& option) {
    const uint64_t value = std::stoul(option.at(1));
    if (option[0] == "max_message_bytes")
      world_.options.max_message_bytes = value;
    else if (option[0] == "time_ms")
      world_.options.limits.time_ns_max = static_cast<int64_t>(value) * 1'000'000;
    else
      throw std::runtime_error("no option " + option[0]);
  }
  static void check(const std::string& wanted, size_t is, const std::string& what) {
    if (wanted != std::to_string(is)) throw std::runtime_error(what + ": " + std::to_string(is));
  }

  World world_;
  TranscriptResult result_;
  std::vector<std::string> expected_;
  bool end_told_ = false;
};

}  // namespace

TranscriptResult play(const std::string& text) { return Player().play(text); }

}  // namespace heptane::data::postgres::test
