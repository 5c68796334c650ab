#include "modules/iot/machine/rules/outbox_api.h"

#include "modules/iot/machine/texts.h"

namespace heptane::iot::rules {

namespace {

constexpr size_t kLetterBytesLeast = 14;

std::string_view get_bounded(ByteReader& in, size_t most) {
  const std::string_view text = get_text(in);
  if (text.size() > most) in.fail();
  return text;
}

}  // namespace

Buffer encode(const OutboxCommit& commit) {
  ByteWriter out;
  put_text(out, commit.rule);
  out.le<LogTime>(commit.created);
  out.le<Offset>(commit.from);
  out.le<Offset>(commit.upto);
  out.le<uint32_t>(commit.posted);
  out.le<uint16_t>(static_cast<uint16_t>(commit.letters.size()));
  for (const OutboxLetter& letter : commit.letters) {
    out.le<Offset>(letter.offset);
    put_text(out, letter.key);
    put_text(out, letter.url);
    put_text(out, letter.why);
  }
  return Buffer::take(out.release());
}

std::optional<OutboxCommit> decode_outbox_commit(Bytes payload) {
  ByteReader in(payload);
  OutboxCommit commit;
  commit.rule = get_text(in);
  commit.created = in.le<LogTime>();
  commit.from = in.le<Offset>();
  commit.upto = in.le<Offset>();
  commit.posted = in.le<uint32_t>();
  const auto count = in.le<uint16_t>();
  if (count > kLettersMax || !in.fits(count, kLetterBytesLeast) || commit.from < 0 || commit.upto < commit.from)
    return std::nullopt;
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    OutboxLetter letter;
    letter.offset = in.le<Offset>();
    letter.key = get_bounded(in, kIdempotencyKeyMax);
    letter.url = get_bounded(in, kLetterUrlMax);
    letter.why = get_bounded(in, kFaultBytesMax);
    commit.letters.push_back(letter);
  }
  return in.complete() ? std::optional(std::move(commit)) : std::nullopt;
}

std::string idempotency_key(std::string_view rule, uint64_t version, Sequence sequence, uint32_t number) {
  return std::string(rule) + '/' + std::to_string(version) + '/' + position_text(0, sequence) + '/' +
         std::to_string(number);
}

std::string_view rule_of_key(std::string_view key) { return key.substr(0, key.find('/')); }

}  // namespace heptane::iot::rules
