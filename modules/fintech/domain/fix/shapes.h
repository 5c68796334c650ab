// Reads and validates one message after the other, and remembers the shapes of those that were valid: the names of their fields in their
// order. Whether a message has the right fields, each once, in the right groups, follows from its shape and the counts of its groups; so of
// one whose shape is known only the values are looked at. What it says of a message is what Message::read() and validate() say.
//
// Bounds: kShapes of at most kShapeFieldsMax fields, the newer in place of the older. One owner.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "modules/fintech/domain/fix/dictionary.h"
#include "modules/fintech/domain/fix/message.h"
#include "modules/fintech/domain/fix/validate.h"

namespace heptane::fix {

constexpr size_t kShapes = 64;
constexpr size_t kShapeFieldsMax = 64;

// A field as it is written: its number and `=`, up to eight characters, the first one lowest.
struct KnownField {
  uint64_t name = 0;
  uint64_t mask = 0;
  uint32_t name_size = 0;
  int32_t tag = 0;
  const FieldRule* rule = nullptr;
};

struct Shape {
  bool is_of(std::string_view other) const {
    if (type.size() != other.size() || type.empty()) return false;
    return type.front() == other.front() && (type.size() == 1 || type == other);  // most have one letter
  }

  std::string type;
  std::vector<KnownField> fields;                    // behind MsgType(35), before CheckSum(10)
  std::vector<std::pair<size_t, uint64_t>> entries;  // which of them count a group's entries, and how many there are
};

class Shapes {
 public:
  // Of a type and a number of fields, all counted; null: none is known.
  const Shape* find(std::string_view type, size_t fields) const {
    const Shape& shape = shapes_[place_of(type, fields)];
    return shape.is_of(type) && shape.fields.size() + kOthers == fields ? &shape : nullptr;
  }
  // Of a valid message.
  void learn(const Message& message);

 private:
  static constexpr size_t kOthers = 4;  // 8, 9, 35 and 10
  static size_t place_of(std::string_view type, size_t fields) {
    size_t sum = fields;
    for (const char c : type) sum = sum * 31 + static_cast<unsigned char>(c);
    return sum % kShapes;
  }

  std::array<Shape, kShapes> shapes_;
};

class Reader {
 public:
  // `rules` must outlive it and not change.
  explicit Reader(const ValidationRules& rules) : rules_(rules) {}

  // As Message::read().
  const char* read(std::string_view frame) { return message_.read(frame, &shapes_); }
  const Message& message() const { return message_; }
  // Of the message that was read.
  std::optional<Fault> validate();

 private:
  const ValidationRules& rules_;
  Shapes shapes_;
  Message message_;
};

}  // namespace heptane::fix
