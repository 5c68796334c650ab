#include <fmt/format.h>

#include <charconv>

#include "kernel/backup/backup.h"

namespace heptane::backup {

namespace {

constexpr std::string_view kFirstLine = "heptane-backup 1";

Hash128 hash_of(std::string_view text) {
  StreamingHash128 hash;
  hash.add(as_bytes(text));
  return hash.value();
}

template <class T>
bool parse_number(std::string_view text, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool parse_hash(std::string_view text, Hash128& hash) {
  return text.size() == 32 && parse_number(text.substr(0, 16), hash.high, 16) &&
         parse_number(text.substr(16), hash.low, 16);
}

// Up to the separator, which goes too.
std::string_view take(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

// Inside the data directory, whatever the manifest says.
bool plain_path(std::string_view path) {
  return !path.empty() && path.front() != '/' && path.find("..") == std::string_view::npos;
}

bool parse_position(std::string_view text, Manifest& manifest) {
  const std::string_view shard = take(text, ':');
  return parse_number(shard, manifest.shard) && parse_number(text, manifest.last_sequence);
}

bool parse_log_id(std::string_view text, LogId& id) {
  if (text.size() != 2 * id.size()) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    uint8_t byte = 0;
    if (!parse_number(text.substr(2 * i, 2), byte, 16)) return false;
    id[i] = static_cast<std::byte>(byte);
  }
  return true;
}

bool parse_file(std::string_view text, BackupFile& file) {
  const std::string_view bytes = take(text, ' ');
  const std::string_view hash = take(text, ' ');
  file.path = text;
  return parse_number(bytes, file.bytes) && parse_hash(hash, file.hash) && plain_path(text);
}

}  // namespace

uint64_t Manifest::bytes() const {
  uint64_t sum = 0;
  for (const BackupFile& file : files) sum += file.bytes;
  return sum;
}

std::string encode(const Manifest& manifest) {
  std::string id;
  for (const std::byte byte : manifest.log_id) id += fmt::format("{:02x}", static_cast<unsigned>(byte));
  std::string text =
      fmt::format("{}\nlog {}\nposition {}:{}\n", kFirstLine, id, manifest.shard, manifest.last_sequence);
  for (const BackupFile& file : manifest.files)
    text += fmt::format("file {} {} {}\n", file.bytes, to_hex(file.hash), file.path);
  return text + fmt::format("end {}\n", to_hex(hash_of(text)));
}

Result<Manifest> decode_manifest(std::string_view text) {
  const Error damaged{Errc::corrupt, "the manifest is damaged"};
  std::string_view rest = text;
  if (const std::string_view first = take(rest, '\n'); first != kFirstLine)
    return first.starts_with("heptane-backup ") ? Error{Errc::unsupported, "a backup of another format"} : damaged;
  Manifest manifest;
  bool ended = false;
  while (!rest.empty() && !ended) {
    const std::string_view before = text.substr(0, text.size() - rest.size());
    std::string_view line = take(rest, '\n');
    const std::string_view what = take(line, ' ');
    bool good = false;
    if (what == "log") good = parse_log_id(line, manifest.log_id);
    if (what == "position") good = parse_position(line, manifest);
    if (what == "file") good = parse_file(line, manifest.files.emplace_back());
    if (what == "end") {
      Hash128 hash;
      good = parse_hash(line, hash) && hash == hash_of(before);
      ended = good;
    }
    if (!good) return damaged;
  }
  if (!ended || !rest.empty() || !text.ends_with('\n')) return damaged;
  return manifest;
}

}  // namespace heptane::backup
