#include "modules/fintech/machine/exchange/notes.h"

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/fix_sessions.h"

namespace heptane::fintech::exchange {

namespace {

constexpr uint32_t kAverageDecimals = 4;
constexpr Int128 kAverageFactor = 10'000;

bool plain(char c) { return c >= ' ' && c <= '~'; }

}  // namespace

JsonRecord& JsonRecord::text(std::string_view name, std::string_view value) {
  if (text_.size() > 1) text_ += ',';
  text_ += '"';
  text_ += name;
  text_ += "\":\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += plain(c) ? c : '?';
  }
  text_ += '"';
  return *this;
}

JsonRecord& JsonRecord::amount(std::string_view name, Uint128 value, uint8_t scale) {
  return text(name, amount_text(value, scale));
}

void Notes::clear() {
  counts_ = {};
  out_.clear();
}

void Notes::add(ViewId view, std::string_view key, std::string_view value) {
  HEPTANE_ASSERT(key.size() <= UINT8_MAX && value.size() <= UINT16_MAX, "a record of what was not judged");
  ++counts_[view.number - 1U];
  out_.u8(static_cast<uint8_t>(view.number));
  out_.u8(static_cast<uint8_t>(key.size()));
  out_.append(key);
  out_.le(static_cast<uint16_t>(value.size()));
  out_.append(value);
}

std::string average_text(const Order& order, uint8_t price_scale) {
  if (order.filled == 0) return "0";
  const bool negative = order.traded < 0;
  const Int128 sum = negative ? -order.traded : order.traded;
  const Int128 filled = order.filled;
  const Int128 average = sum / filled * kAverageFactor + sum % filled * kAverageFactor / filled;
  return (negative ? "-" : "") +
         amount_text(static_cast<Uint128>(average), static_cast<uint8_t>(price_scale + kAverageDecimals));
}

void render_exchange(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number > kViews) return render_fix(logged, number, out);
  for (const Bytes& note : logged.results) {
    ByteReader in(note);
    while (in.remaining() > 0 && !in.failed() && !out.full()) {
      const uint8_t view = in.u8();
      const Bytes key = in.take(in.u8());
      const Bytes value = in.take(in.le<uint16_t>());
      if (view != number || in.failed()) continue;
      if (out.wants())
        out.add({key, true, value});
      else
        out.skip();
    }
  }
}

}  // namespace heptane::fintech::exchange
