// InfluxDB's line protocol: `measurement,tag=value field=1.5,other="text" 1257894000000000000`, one point a line.
//
// Invariants: nothing is allocated for a line but what its Line keeps between lines, and that only within the limits below; a line
// that is refused says why, and reading goes on at the next one. Texts of a Line are views of the input, as they were written:
// unescape() says what they mean. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace heptane::iot::series {

constexpr size_t kKeyBytesMax = 8'192;      // measurement and tags of a line, as written
constexpr size_t kTagsMax = 512;            // of a line
constexpr size_t kFieldsMax = 1'024;        // of a line
constexpr size_t kFieldNameBytesMax = 255;  // as written
constexpr size_t kStringBytesMax = 65'536;  // of a field's text, as written

// What a field holds; the numbers are stored.
enum class FieldType : uint8_t { real = 0, integer = 1, boolean = 2, text = 3, unsigned_integer = 4 };
std::string_view type_name(FieldType type);  // as SHOW FIELD KEYS says it

struct Value {
  FieldType type = FieldType::real;
  double real = 0;      // deterministic: read and written, never reckoned with
  int64_t integer = 0;  // of a boolean 0 or 1, of an unsigned integer its bits
  std::string_view text;
};

struct Tag {
  std::string_view key;
  std::string_view value;
};

struct Field {
  std::string_view name;
  Value value;  // a text is as written
};

struct Line {
  size_t number = 0;      // in the input, from 1
  std::string_view text;  // without its end
  std::string_view head;  // measurement and tags
  std::string_view measurement;
  std::vector<Tag> tags;
  std::vector<Field> fields;
  std::string_view body;  // fields
  std::optional<int64_t> time;
  std::string_view time_text;
  bool known_head = false;  // of KnownHeads: `tags` is empty
};

// Heads that were right and have their tags in order: what has the same bytes is so as well, and is not read again. Keeps views of
// them, and where more than kOfBucket meet forgets one. Who never writes one twice loses kMissesMax looks. One request's.
class KnownHeads {
 public:
  static constexpr size_t kBuckets = 1'024;
  static constexpr size_t kOfBucket = 4;
  static constexpr size_t kMissesMax = 4'096;  // beyond those that were found

  // The bytes of its measurement; 0: it is not known.
  size_t find(std::string_view head);
  void add(const Line& line);
  // No longer one is known; 0: there is no use in looking.
  size_t longest() const { return misses_ > hits_ + kMissesMax ? 0 : longest_; }

 private:
  struct Slot {
    const char* at = nullptr;
    uint32_t hash = 0;
    uint16_t bytes = 0;  // 0: it is free
    uint16_t measurement_bytes = 0;
  };
  struct Bucket {
    std::array<Slot, kOfBucket> slots{};
    const Slot* find(uint32_t hash, std::string_view head) const;
  };

  std::vector<Bucket> buckets_;
  size_t longest_ = 0;
  size_t hits_ = 0;
  size_t misses_ = 0;
};

// Where a token stands says which characters a backslash escapes in it.
enum class Token : uint8_t { measurement, key, string };
std::string unescape(std::string_view written, Token token);
// The reverse. What a reader took as a name is the only form of its text.
void append_escaped(std::string& out, std::string_view text, Token token);

// How much of a line is looked at. `points`: of lines that were read before and are as append_record_line() has them; measurement and
// tags stay empty.
enum class Reading : uint8_t { lines, points };

class LineReader {
 public:
  // `heads`: of the input's lines so far, for who adds them; null: each line is read whole.
  explicit LineReader(std::string_view input, Reading reading = Reading::lines, KnownHeads* heads = nullptr)
      : input_(input), reading_(reading), heads_(heads) {}

  // False: no more lines. True: `line` is the next point, or refused() says why it is none; empty lines and comments are passed.
  bool next(Line& line);
  // Of the line that next() gave; empty: it is right.
  std::string_view refused() const { return why_; }

 private:
  bool fail(std::string_view why);
  bool done() const { return at_ == input_.size(); }
  char peek() const { return at_ < input_.size() ? input_[at_] : '\0'; }
  bool at_end_of_line() const;
  void skip_spaces();
  void skip_line();
  bool skip_blank();
  bool skip_comment();
  bool read_line(Line& line);
  bool read_token(Token token, std::string_view& into, std::string_view what);
  bool read_head(Line& line);
  bool pass_known_head(Line& line);
  bool read_measurement(Line& line);
  bool read_tags(Line& line);
  bool read_tag(Line& line);
  bool read_fields(Line& line);
  bool read_field(Line& line);
  bool pass_known_name(const Line& line, std::string_view& name);
  bool read_name(Line& line, std::string_view& name);
  bool read_value(Value& value);
  bool read_string(Value& value);
  bool read_number(std::string_view word, Value& value);
  bool read_time(Line& line);

  std::string_view input_;
  Reading reading_;
  KnownHeads* heads_;
  std::vector<std::string_view> names_;  // of fields, by their places in a line
  size_t at_ = 0;
  size_t line_number_ = 1;  // of at_
  std::string_view why_;
};

// The key of the line's series: measurement and tags as written, sorted by key. `scratch` holds it where the line has another
// order; the view lives as long as both. Nullopt: a tag is there twice.
std::optional<std::string_view> series_key(const Line& line, std::string& scratch);

// A key's parts. Any text has some: what is no key, is cut at its commas.
struct SeriesParts {
  std::string measurement;
  std::vector<std::pair<std::string, std::string>> tags;  // sorted by key
};
SeriesParts parts_of(std::string_view series_key);

// Nanoseconds of one unit: n ns u us µs ms s m h; nullopt: no precision.
std::optional<int64_t> precision_ns(std::string_view name);

// A value, a point as the line protocol has them; numbers in the shortest form that reads back as they are.
void append_value(std::string& out, const Value& value);

}  // namespace heptane::iot::series
