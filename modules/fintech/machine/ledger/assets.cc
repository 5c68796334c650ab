#include "modules/fintech/machine/ledger/assets.h"

#include <algorithm>

namespace heptane::fintech {

namespace {

void write(ByteWriter& out, const Asset& asset) {
  out.le(asset.ledger);
  out.u8(asset.scale);
  out.u8(static_cast<uint8_t>(asset.code.size()));
  out.append(asset.code);
}

bool read(ByteReader& in, Asset& asset) {
  asset.ledger = in.le<uint32_t>();
  asset.scale = in.u8();
  asset.code = as_text(in.take(in.u8()));
  return !in.failed() && asset.ledger != 0 && asset.scale <= kScaleMax && valid_asset_code(asset.code);
}

Error malformed() { return {Errc::invalid_argument, "an asset is a ledger from 1 on, a scale of 0 to 38 and a code"}; }

}  // namespace

bool valid_asset_code(std::string_view code) {
  return !code.empty() && code.size() <= kAssetCodeMax && std::all_of(code.begin(), code.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

Buffer encode(const Asset& asset) {
  ByteWriter out;
  write(out, asset);
  return Buffer::take(out.release());
}

Result<Asset> decode_asset(Bytes payload) {
  ByteReader in(payload);
  Asset asset;
  if (!read(in, asset) || !in.complete()) return malformed();
  return asset;
}

Buffer encode(const std::vector<Asset>& assets) {
  ByteWriter out;
  out.le(static_cast<uint32_t>(assets.size()));
  for (const Asset& asset : assets) write(out, asset);
  return Buffer::take(out.release());
}

Result<std::vector<Asset>> decode_assets(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint32_t>();
  if (count > kAssetsMax) return malformed();
  std::vector<Asset> assets(count);
  for (Asset& asset : assets)
    if (!read(in, asset)) return malformed();
  if (!in.complete()) return malformed();
  return assets;
}

Assets::Outcome Assets::put(const Asset& asset) {
  const Asset* known = find(asset.ledger);
  if (known != nullptr) return *known == asset ? Outcome::unchanged : Outcome::taken;
  for (const auto& [ledger, other] : by_ledger_)
    if (other.code == asset.code) return Outcome::taken;
  if (by_ledger_.size() >= kAssetsMax) return Outcome::full;
  by_ledger_[asset.ledger] = asset;
  if (!marks_.empty()) added_.push_back(asset.ledger);
  return Outcome::added;
}

const Asset* Assets::find(uint32_t ledger) const {
  const auto found = by_ledger_.find(ledger);
  return found == by_ledger_.end() ? nullptr : &found->second;
}

std::vector<Asset> Assets::all() const {
  std::vector<Asset> all;
  for (const auto& [ledger, asset] : by_ledger_) all.push_back(asset);
  return all;
}

void Assets::close_scope(bool keep) {
  const size_t mark = marks_.back();
  marks_.pop_back();
  if (!keep)
    for (; added_.size() > mark; added_.pop_back()) by_ledger_.erase(added_.back());
  if (marks_.empty()) added_.clear();
}

void Assets::save(SnapshotWriter& writer) const { writer.blob(encode(all()).view()); }

bool Assets::restore(SnapshotReader& reader) {
  constexpr size_t kBytesMax = 4 + kAssetsMax * (6 + kAssetCodeMax);
  const std::string bytes = reader.text(kBytesMax);
  const Result<std::vector<Asset>> assets = decode_assets(as_bytes(bytes));
  if (reader.failed() || !assets) return false;
  clear();
  for (const Asset& asset : *assets)
    if (put(asset) != Outcome::added) return false;
  return true;
}

}  // namespace heptane::fintech
