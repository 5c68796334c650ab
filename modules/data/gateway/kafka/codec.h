// Reads and writes the messages of the Kafka protocol (kafka.apache.org/protocol) from one description each: a struct's
// `table()` lists its fields in wire order with the versions that have them; the type on the wire follows from the C++ type
// of the member, what a version lacks keeps the member's default. Flexible versions (KIP-482) use compact lengths and end
// every struct with tagged fields: those that the table has are written when they differ from their default, others skipped.
//
// Views point into the input. Nothing is allocated before `fits` and the element budget allow it. Pure; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "kernel/base/bytes.h"

namespace heptane::data::kafka {

struct Versions {
  int16_t first = 0;
  int16_t last = std::numeric_limits<int16_t>::max();
  constexpr bool has(int16_t version) const { return version >= first && version <= last; }
};
constexpr Versions since(int16_t first) { return {first, std::numeric_limits<int16_t>::max()}; }
constexpr Versions between(int16_t first, int16_t last) { return {first, last}; }
constexpr Versions kAllVersions = since(0);
constexpr Versions kNever = between(0, -1);

template <class Owner, class Member>
struct Field {
  std::string_view name;
  Member Owner::*member;
  Versions present;
  Versions nullable;  // members of type std::optional only
  int32_t tag = -1;   // of a tagged field, which only flexible versions have; -1 = in its place
};

template <class Owner, class Member>
constexpr Field<Owner, Member> field(std::string_view name, Member Owner::*member, Versions present = kAllVersions,
                                     Versions nullable = kNever) {
  return {name, member, present, nullable, -1};
}
// Behind all others in their table, in order of their tags.
template <class Owner, class Member>
constexpr Field<Owner, Member> tagged_field(int32_t tag, std::string_view name, Member Owner::*member,
                                            Versions present) {
  return {name, member, present, kNever, tag};
}

// A run of record batches. Read: a view. Written: the view, or `parts` one after another without a copy.
struct Records {
  bool null = false;
  Bytes view;
  std::vector<Buffer> parts;

  size_t size() const {
    size_t total = view.size();
    for (const Buffer& part : parts) total += part.size();
    return total;
  }
};

template <class T>
concept Described = requires {
  T::table();
};

namespace detail {
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
}  // namespace detail
template <Described T>
constexpr bool has_tagged_fields() {
  return std::apply([](const auto&... fields) { return ((fields.tag >= 0) || ...); }, T::table());
}
template <class T>
inline constexpr bool kIsVector = detail::IsVector<T>::value;
template <class T>
inline constexpr bool kIsOptional = detail::IsOptional<T>::value;

struct Encoding {
  int16_t version = 0;
  bool flexible = false;
};

// Fewest bytes that a T can take: what one array element costs at least.
template <class T>
size_t min_size(Encoding encoding) {
  if constexpr (std::is_arithmetic_v<T>) {
    return sizeof(T);
  } else if constexpr (kIsOptional<T>) {
    return min_size<typename T::value_type>(encoding);
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return encoding.flexible ? 1 : 2;
  } else if constexpr (kIsVector<T> || std::is_same_v<T, Records> || std::is_same_v<T, Bytes>) {
    return encoding.flexible ? 1 : 4;
  } else {
    size_t total = encoding.flexible ? 1 : 0;
    std::apply(
        [&](const auto&... fields) {
          ((total += fields.tag < 0 && fields.present.has(encoding.version)
                         ? min_size<std::remove_cvref_t<decltype(std::declval<T&>().*fields.member)>>(encoding)
                         : 0),
           ...);
        },
        T::table());
    return total;
  }
}

class Decoder {
 public:
  // Arrays of a message hold together at most this many elements: a short element becomes a much longer struct.
  static constexpr uint32_t kElementsLimit = 100'000;

  Decoder(Bytes input, Encoding encoding) : reader_(input), encoding_(encoding) {}

  // False when malformed or when bytes are left over.
  template <Described T>
  bool message(T& value) {
    read(value, false);
    return reader_.complete();
  }
  template <class T>
  void read(T& value, bool nullable);
  void skip_tagged_fields();
  const ByteReader& reader() const { return reader_; }

 private:
  int64_t length(bool wide);  // -1 = null, also when it fails
  bool admit(int64_t count, size_t bytes_each);
  template <Described T>
  void read_tagged_fields(T& value);

  ByteReader reader_;
  Encoding encoding_;
  uint32_t elements_left_ = kElementsLimit;
};

class Encoder {
 public:
  explicit Encoder(Encoding encoding) : encoding_(encoding) {}

  template <class T>
  void write(const T& value, bool nullable);
  void empty_tagged_fields() { out_.varint(0); }
  ByteWriter& out() { return out_; }
  size_t size() const { return out_.size() + spliced_bytes_; }
  // The pieces in order, those of Records shared. Ends the encoder's life.
  std::vector<Buffer> finish();

 private:
  struct Splice {
    size_t at;
    Buffer bytes;
  };
  void length(int64_t length, bool wide);  // -1 = null
  template <Described T>
  void write_tagged_fields(const T& value);
  void records(const Records& value);

  Encoding encoding_;
  ByteWriter out_;
  std::vector<Splice> splices_;
  size_t spliced_bytes_ = 0;
};

// Template bodies.

template <class T>
void Decoder::read(T& value, bool nullable) {
  if (reader_.failed()) return;
  if constexpr (std::is_same_v<T, bool>) {
    value = reader_.u8() != 0;
  } else if constexpr (std::is_arithmetic_v<T>) {
    value = reader_.be<T>();
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    const int64_t count = length(false);
    if (count < 0) return reader_.fail();
    value = as_text(reader_.take(static_cast<size_t>(count)));
  } else if constexpr (std::is_same_v<T, Bytes>) {
    const int64_t count = length(true);
    if (count < 0) return reader_.fail();
    value = reader_.take(static_cast<size_t>(count));
  } else if constexpr (std::is_same_v<T, Records>) {
    const int64_t count = length(true);
    value.null = count < 0;
    if (count >= 0) value.view = reader_.take(static_cast<size_t>(count));
  } else if constexpr (std::is_same_v<T, std::optional<std::string_view>>) {
    const int64_t count = length(false);
    value.reset();
    if (count >= 0) value = as_text(reader_.take(static_cast<size_t>(count)));
    if (count < 0 && !nullable) reader_.fail();
  } else if constexpr (kIsOptional<T>) {
    using List = typename T::value_type;
    using Element = typename List::value_type;
    const int64_t count = length(true);
    value.reset();
    if (count < 0 && !nullable) reader_.fail();
    if (count < 0 || !admit(count, min_size<Element>(encoding_))) return;
    value.emplace(static_cast<size_t>(count));
    for (Element& element : *value) read(element, false);
  } else if constexpr (kIsVector<T>) {
    using Element = typename T::value_type;
    const int64_t count = length(true);
    if (count < 0) return reader_.fail();
    if (!admit(count, min_size<Element>(encoding_))) return;
    value.resize(static_cast<size_t>(count));
    for (Element& element : value) read(element, false);
  } else {
    std::apply(
        [&](const auto&... fields) {
          ((fields.tag < 0 && fields.present.has(encoding_.version)
                ? read(value.*fields.member, fields.nullable.has(encoding_.version))
                : void()),
           ...);
        },
        T::table());
    if (encoding_.flexible) read_tagged_fields(value);
  }
}

template <Described T>
void Decoder::read_tagged_fields(T& value) {
  if constexpr (!has_tagged_fields<T>()) {
    skip_tagged_fields();
  } else {
    const uint64_t count = reader_.varint();
    if (!reader_.fits(count, 2)) return reader_.fail();
    for (uint64_t i = 0; i < count && !reader_.failed(); ++i) {
      const uint64_t tag = reader_.varint();
      Decoder inner(reader_.take(reader_.varint()), encoding_);
      inner.elements_left_ = elements_left_;
      const auto read_if = [&](const auto& field) {
        if (field.tag < 0 || tag != static_cast<uint64_t>(field.tag) || !field.present.has(encoding_.version)) return;
        inner.read(value.*field.member, false);
        if (!inner.reader_.complete()) reader_.fail();
      };
      std::apply([&](const auto&... fields) { (read_if(fields), ...); }, T::table());
      elements_left_ = inner.elements_left_;
    }
  }
}

template <class T>
void Encoder::write(const T& value, bool nullable) {
  if constexpr (std::is_same_v<T, bool>) {
    out_.u8(value ? 1 : 0);
  } else if constexpr (std::is_arithmetic_v<T>) {
    out_.be(value);
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    length(static_cast<int64_t>(value.size()), false);
    out_.append(value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    length(static_cast<int64_t>(value.size()), true);
    out_.append(value);
  } else if constexpr (std::is_same_v<T, Records>) {
    records(value);
  } else if constexpr (kIsOptional<T>) {
    if (value.has_value())
      write(*value, false);
    else
      length(nullable ? -1 : 0, kIsVector<typename T::value_type>);
  } else if constexpr (kIsVector<T>) {
    length(static_cast<int64_t>(value.size()), true);
    for (const auto& element : value) write(element, false);
  } else {
    std::apply(
        [&](const auto&... fields) {
          ((fields.tag < 0 && fields.present.has(encoding_.version)
                ? write(value.*fields.member, fields.nullable.has(encoding_.version))
                : void()),
           ...);
        },
        T::table());
    if (encoding_.flexible) write_tagged_fields(value);
  }
}

template <Described T>
void Encoder::write_tagged_fields(const T& value) {
  if constexpr (!has_tagged_fields<T>()) {
    empty_tagged_fields();
  } else {
    const T defaults;
    const auto worth = [&](const auto& field) {
      if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value.*field.member)>>)
        return field.tag >= 0 && field.present.has(encoding_.version) && value.*field.member != defaults.*field.member;
      else
        return false;  // numbers only, so far
    };
    const auto write_if = [&](const auto& field) {
      if (!worth(field)) return;
      Encoder inner(encoding_);
      inner.write(value.*field.member, false);
      out_.varint(static_cast<uint64_t>(field.tag));
      out_.varint(inner.size());
      out_.append(inner.out().view());
    };
    const auto count = [&](const auto& field) -> uint64_t { return worth(field) ? 1 : 0; };
    std::apply([&](const auto&... fields) { out_.varint((count(fields) + ...)); }, T::table());
    std::apply([&](const auto&... fields) { (write_if(fields), ...); }, T::table());
  }
}

}  // namespace heptane::data::kafka
