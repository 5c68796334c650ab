// A message as it came: where its fields lie in its bytes, nothing copied. A list of fields is all that is kept, so that one object reads
// one message after the other without allocating.
//
// A stream of bytes is cut by next_frame(): BodyLength(9) is believed as far as to where CheckSum(10) is looked for, as other engines
// do, so that the same bytes are lost when it is wrong. What is garbled (FIX 4.4 volume 2, "Message garbled") is dropped and takes no
// number. Bounds: kMessageMax bytes, kFieldsMax fields. One owner.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "modules/fintech/domain/fix/dictionary.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix {

constexpr size_t kMessageMax = 64 * 1024;
constexpr size_t kFieldsMax = 4096;

struct Frame {
  enum class Kind : uint8_t {
    partial,  // the rest has not come
    whole,    // `size` bytes from `begin` on, if they are not garbled inside
    garbled,  // no message begins here
  };
  Kind kind = Kind::partial;
  size_t begin = 0;  // what stands before belongs to no message
  size_t size = 0;   // whole, garbled: to be consumed with what stands before
};

// The first message of these bytes.
Frame next_frame(std::string_view input);

struct Shape;
class Shapes;

struct FieldView {
  int32_t tag = 0;
  uint32_t at = 0;  // the value's place in the message
  uint32_t size = 0;
  Number number{};  // of a message whose values were looked at (Reader::validate())
};

class Message {
 public:
  // Reads a frame, which must outlive what is asked of this object. None: it is read; else why it is garbled.
  // `shapes`: what is known of messages that were valid, so that it need not be found out again.
  const char* read(std::string_view frame, const Shapes* shapes = nullptr);
  // The known shape that this message has; null: none. Until `shapes` learn more.
  const Shape* shape() const { return shape_; }

  std::string_view bytes() const { return bytes_; }
  std::string_view begin_string() const { return value(fields_[0]); }
  std::string_view type() const { return value(fields_[2]); }
  // In their order, BeginString first, CheckSum last.
  std::span<const FieldView> fields() const { return {fields_.data(), count_}; }
  // For who looks at their values to keep the numbers.
  std::span<FieldView> fields() { return {fields_.data(), count_}; }
  std::string_view value(const FieldView& field) const { return {bytes_.data() + field.at, field.size}; }

  // The first field of this tag. Groups: find_entries().
  std::optional<std::string_view> find(int32_t tag) const;
  std::optional<uint64_t> number(int32_t tag) const;
  std::optional<int64_t> integer(int32_t tag) const;
  std::optional<int64_t> decimal(int32_t tag, int scale) const;
  std::optional<int64_t> timestamp(int32_t tag) const;
  // False when it is not there.
  bool flag(int32_t tag) const;
  // Of a field of this message.
  std::optional<int64_t> integer(const FieldView& field) const;
  std::optional<int64_t> decimal(const FieldView& field, int scale) const;
  std::optional<int64_t> timestamp(const FieldView& field) const;

 private:
  const char* read_fields(const Shapes* shapes, size_t ends);
  bool read_known(const Shape& shape);
  const char* check_frame(uint32_t sum) const;
  const FieldView* field(int32_t tag) const;

  std::string_view bytes_;
  std::vector<FieldView> fields_;
  std::vector<uint32_t> ends_;  // where fields end
  size_t count_ = 0;
  const Shape* shape_ = nullptr;
};

// The entries of a group of a valid message, in their order: fields() of the message or an entry in, one entry after the other out. An
// entry holds its own groups' fields, too.
class Entries {
 public:
  // count_tag: of the group, in `scope` (scope_of() of the message, group_scope() of the group that it lies in).
  Entries(std::span<const FieldView> fields, const ScopeRule& scope, int32_t count_tag);
  bool next(std::span<const FieldView>& entry);
  // Of the entries' own groups; -1: there is no such group.
  int scope() const { return scope_; }

 private:
  std::span<const FieldView> rest_;
  int scope_;
};

}  // namespace heptane::fix
