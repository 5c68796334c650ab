#include "modules/data/test/message_text.h"

#include <map>
#include <stdexcept>

#include "kernel/base/crc32c.h"
#include "kernel/streams/record_batch.h"

namespace heptane::data::kafka::test {

namespace layout = streams::record_batch_layout;

namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr int64_t kTimestampMs = 1'000;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string print_batch(Bytes batch, const streams::RecordBatchInfo& info) {
  std::string out = "batch(offset=" + std::to_string(info.base_offset);
  if (info.producer_id >= 0)
    out += ", producer=" + std::to_string(info.producer_id) + "/" + std::to_string(info.producer_epoch) + "/" +
           std::to_string(info.base_sequence);
  if (info.attributes != 0) out += ", attributes=" + std::to_string(info.attributes);
  const auto walked = streams::for_each_record(batch, [&](const streams::RecordView& record) {
    out += ", ";
    if (record.has_key) out += quoted(as_text(record.key)) + "=";
    out += record.has_value ? quoted(as_text(record.value)) : "null";
  });
  if (!walked) out += ", count=" + std::to_string(info.record_count);
  return out + ")";
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\' || byte < 32 || byte > 126)
      out += std::string("\\x") + kDigits[byte >> 4] + kDigits[byte & 15];
    else
      out += c;
  }
  return out + "\"";
}

std::string to_hex(Bytes bytes) {
  std::string out;
  for (const std::byte byte : bytes) {
    out += kDigits[static_cast<unsigned>(byte) >> 4];
    out += kDigits[static_cast<unsigned>(byte) & 15];
  }
  return out;
}

Bytes from_hex(std::string_view hex, std::deque<std::string>& keep) {
  std::string bytes;
  int high = -1;
  for (const char c : hex) {
    const int value = digit(c);
    if (value < 0) continue;
    if (high < 0) {
      high = value;
      continue;
    }
    bytes += static_cast<char>(high * 16 + value);
    high = -1;
  }
  return as_bytes(keep.emplace_back(std::move(bytes)));
}

std::string print_records(const Records& records) {
  if (records.null) return "null";
  std::string bytes(as_text(records.view));
  for (const Buffer& part : records.parts) bytes += as_text(part.view());
  Bytes rest = as_bytes(bytes);
  std::string out;
  while (!rest.empty()) {
    if (!out.empty()) out += " ";
    const auto info = streams::decode_record_batch_header(rest);
    if (!info) return out + "hex(" + to_hex(rest) + ")";
    out += print_batch(rest.subspan(0, info->total_bytes), *info);
    rest = rest.subspan(info->total_bytes);
  }
  return out.empty() ? "hex()" : out;
}

std::string squeezed(std::string_view text) {
  std::string out;
  bool in_quotes = false;
  for (const char c : text) {
    if (c == '"') in_quotes = !in_quotes;
    if (in_quotes || (c != ' ' && c != '\n' && c != '\t')) out += c;
  }
  return out;
}

void TextReader::fail(const std::string& why) const {
  throw std::runtime_error(why + " at: " + std::string(text_.substr(at_, 40)));
}

char TextReader::peek() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool TextReader::accept(std::string_view token) {
  peek();
  if (text_.substr(at_, token.size()) != token) return false;
  at_ += token.size();
  return true;
}

void TextReader::expect(char c) {
  if (!accept(std::string_view(&c, 1))) fail(std::string("expected ") + c);
}

void TextReader::end() {
  if (peek() != '\0') fail("text is left over");
}

std::string TextReader::word() {
  peek();
  const size_t begin = at_;
  while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' ||
                                text_[at_] == '-' || text_[at_] == '/'))
    ++at_;
  if (begin == at_) fail("expected a word");
  return std::string(text_.substr(begin, at_ - begin));
}

std::string TextReader::string() {
  expect('"');
  std::string out;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_.substr(at_, 2) == "\\x" && at_ + 4 <= text_.size()) {
      out += static_cast<char>(digit(text_[at_ + 2]) * 16 + digit(text_[at_ + 3]));
      at_ += 4;
    } else {
      out += text_[at_++];
    }
  }
  expect('"');
  return out;
}

void TextReader::read_records(Records& records) {
  if (accept("null")) {
    records.null = true;
    return;
  }
  std::string bytes;
  for (;;) {
    if (accept("batch(")) {
      bytes += read_batch();
    } else if (accept("hex(")) {
      const size_t close = text_.find(')', at_);
      if (close == std::string_view::npos) fail("hex( without )");
      bytes += as_text(from_hex(text_.substr(at_, close - at_), keep_));
      at_ = close + 1;
    } else {
      break;
    }
  }
  records.view = as_bytes(keep_.emplace_back(std::move(bytes)));
}

// Options: time (of the records behind it), offset, producer=id/epoch/sequence, attributes, count, length (patched before the CRC), magic, crc=bad.
std::string TextReader::read_batch() {
  streams::RecordBatchBuilder builder;
  int64_t time = kTimestampMs;
  builder.begin(time);
  std::map<std::string, std::string> options;
  while (!accept(")")) {
    if (peek() == '"') {
      std::string first = string();
      const bool has_key = accept("=");
      const std::string value = has_key && peek() == '"' ? string() : (has_key ? word() : first);
      const bool null_value = has_key && value == "null";
      builder.add(time, has_key, as_bytes(first), !null_value, as_bytes(value));
    } else if (accept("null")) {
      builder.add(time, false, {}, false, {});
    } else {
      const std::string name = word();
      expect('=');
      options[name] = word();
      if (name == "time") time = std::stoll(options[name]);
    }
    accept(",");
  }
  const Bytes built = builder.finish(options.contains("offset") ? std::stoll(options["offset"]) : 0, -1, false);
  std::string bytes(as_text(built));
  auto* at = reinterpret_cast<std::byte*>(bytes.data());
  if (options.contains("producer")) {
    long long id = 0;
    int epoch = 0;
    int sequence = 0;
    if (std::sscanf(options["producer"].c_str(), "%lld/%d/%d", &id, &epoch, &sequence) != 3)
      fail("producer=id/epoch/seq");
    store_be<int64_t>(at + layout::kProducerId, id);
    store_be<int16_t>(at + layout::kProducerEpoch, static_cast<int16_t>(epoch));
    store_be<int32_t>(at + layout::kBaseSequence, sequence);
  }
  if (options.contains("attributes"))
    store_be<uint16_t>(at + layout::kAttributes, static_cast<uint16_t>(std::stoul(options["attributes"])));
  if (options.contains("count")) store_be<int32_t>(at + layout::kRecordCount, std::stoi(options["count"]));
  if (options.contains("length")) store_be<int32_t>(at + layout::kBatchLength, std::stoi(options["length"]));
  if (options.contains("magic")) at[layout::kMagic] = static_cast<std::byte>(std::stoi(options["magic"]));
  uint32_t crc = crc32c(as_bytes(bytes).subspan(layout::kAttributes));
  if (options.contains("crc")) crc ^= 1;
  store_be<uint32_t>(at + layout::kCrc, crc);
  return bytes;
}

}  // namespace heptane::data::kafka::test
